"""The endpoint's jobs: their order, their states, and how long they are kept. As on RunPod."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .protocol import FINAL, MAX_RUNSYNC_BYTES, JobCounts, JobRequest, JobStatus

_T = TypeVar("_T")
_KEPT_SECONDS, _KEPT_SYNC_SECONDS = 30 * 60.0, 60.0
"""How long results are kept after /run and after /runsync."""
_MAX_JOBS, _MAX_BYTES = 10_000, 512 * 2**20
"""Of all jobs that are known, with their inputs and results."""
_MAX_ATTEMPTS = 2
"""How often a job is given to a worker that dies of it, or of something else."""
_SETTLING = 2.0
"""Seconds until the worker library heeds a request to stop a job that it has just taken."""


class Full(Exception):
    """There is no room for another job."""


@dataclass(eq=False)
class Job:
    """A job and its state.

    Attributes:
        input: its input, as JSON.
        task: of the input, for people and metrics: a word of a small set.
        attempt: how often a worker took it.
        seen: whether the worker has posted something for this attempt.
        started, ended: `time.monotonic` of this attempt; 0 while it has not.
        progress: the latest progress message.
        result: `output` and `error` as the worker posted them.
        chunks: what was streamed and not fetched yet.
    """

    id: str
    request: JobRequest
    input: bytes
    task: str
    sync: bool
    status: JobStatus = "IN_QUEUE"
    worker: str = ""
    attempt: int = 0
    seen: bool = False
    queued: float = field(default_factory=time.monotonic)
    started: float = 0.0
    ended: float = 0.0
    progress: Any = None
    result: dict[str, Any] = field(default_factory=dict)
    result_bytes: int = 0
    chunks: list[Any] = field(default_factory=list)
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    @property
    def final(self) -> bool:
        return self.status in FINAL

    def shown(self) -> dict[str, Any]:
        """The job as the API shows it."""
        data: dict[str, Any] = {"id": self.id, "status": self.status}
        if self.started:
            data |= {"workerId": self.worker, "delayTime": round((self.started - self.queued) * 1000)}
        if self.started and self.ended:
            data["executionTime"] = round((self.ended - self.started) * 1000)
        if self.status == "IN_PROGRESS" and self.progress is not None:
            data["output"] = self.progress
        return data | self.result


class Jobs:
    """All jobs of the endpoint. Its methods are called in one event loop.

    Args:
        on_change: called with a job after each change of its state, and after each progress message.
    """

    def __init__(self, on_change: Callable[[Job], None] = lambda _: None):
        self._on_change = on_change
        self._jobs: dict[str, Job] = {}
        self._stops: dict[str, list[str]] = {}
        # Ended jobs that a worker has only just taken, so that it would not stop them yet.
        self._unsettled: list[Job] = []
        self._changed = asyncio.Event()
        self._closed = False
        self._ended: Counter[str] = Counter()
        self._retried = 0

    def get(self, job_id: str) -> Job | None:
        """The job with this id, if it is still kept."""
        return self._jobs.get(job_id)

    def queue(self) -> list[Job]:
        """The jobs that wait, in the order in which they are taken."""
        waiting = [job for job in self._jobs.values() if job.status == "IN_QUEUE"]
        return sorted(waiting, key=lambda job: job.request.policy.lowPriority)

    def submit(self, request: JobRequest, task: str, sync: bool = False) -> Job:
        """Queues a job. Raises Full."""
        if self._closed:
            raise Full("The endpoint is ending: send this job again once it has been started again.")
        content = json.dumps(request.input).encode()
        request.input = None
        self._make_room(len(content))
        job = Job(f"{'sync-' * sync}{uuid.uuid4()}-{'e' if sync else 'u'}1", request, content, task, sync)
        self._jobs[job.id] = job
        self._after(job, request.policy.ttl / 1000, self._expire, job)
        self._change(job)
        return job

    async def take(self, worker: str, count: int, seconds: float, ready: Callable[[], bool]) -> list[Job]:
        """Gives a worker up to `count` jobs, as soon as there is one.

        Args:
            worker: its id.
            count: at most.
            seconds: how long to wait for one.
            ready: whether the worker still wants one.
        """
        await self.wait(lambda: self._closed or not ready() or self.queue(), seconds)
        if self._closed or not ready():
            return []
        taken = self.queue()[:count]
        for job in taken:
            job.status, job.worker, job.started, job.seen = "IN_PROGRESS", worker, time.monotonic(), False
            job.attempt += 1
            self._after(job, job.request.policy.executionTimeout / 1000, self._time_out, job, job.attempt)
            self._change(job)
        return taken

    async def next_stops(
        self, worker: str, seconds: float, ready: Callable[[], bool] = lambda: True
    ) -> list[str]:
        """The jobs that a worker is to stop, as soon as there is one. Arguments as in `take`."""
        await self.wait(lambda: self._closed or not ready() or self._stops.get(worker), seconds)
        return self._stops.pop(worker, [])

    def progressed(self, worker: str, job_id: str, output: Any) -> None:
        """Takes a worker's progress message; has no effect if the job is no longer with it."""
        job = self._of(worker, job_id)
        if job and not job.final:
            job.progress = output
            self._change(job)

    def streamed(self, worker: str, job_id: str, output: Any) -> None:
        """Takes a part of the output."""
        job = self._of(worker, job_id)
        if job and not job.final:
            job.chunks.append(output)
            self._change(job)

    def finished(self, worker: str, job_id: str, result: dict[str, Any], size: int) -> None:
        """Takes a worker's result; has no effect if the job is no longer with it."""
        job = self._of(worker, job_id)
        if job is None or job.final:
            return
        if size > MAX_RUNSYNC_BYTES:
            limit = MAX_RUNSYNC_BYTES // 2**20
            result = {"error": f"The result is larger than the {limit} MB that RunPod takes: use a bucket."}
            size = 0
        job.result = {name: result[name] for name in ("output", "error") if name in result}
        job.result_bytes = size
        self._end(job, "FAILED" if "error" in result else "COMPLETED")

    def stop(self, job: Job, status: JobStatus = "CANCELLED") -> None:
        """Ends a job that has not ended, and lets its worker stop it."""
        if job.final:
            return
        running = job.status == "IN_PROGRESS"
        self._end(job, status)
        wait = 0.0 if job.seen else _SETTLING - (time.monotonic() - job.started)
        if running:
            self._unsettled.append(job)
            self._after(job, max(wait, 0.0), self._signal, job)

    def retry(self, job: Job) -> bool:
        """Queues a job again that failed or ran out of time; returns whether it is one."""
        if job.status not in ("FAILED", "TIMED_OUT"):
            return False
        job.attempt = 0
        self._retried += 1
        self._requeue(job)
        return True

    def purge(self) -> int:
        """Removes all jobs that wait; how many there were."""
        waiting = self.queue()
        for job in waiting:
            self._end(job, "CANCELLED")
        return len(waiting)

    def abandon(self, worker: str, reason: str) -> None:
        """A worker is gone: its jobs return to the queue, or fail if this was their last attempt."""
        self._stops.pop(worker, None)
        self._unsettled = [job for job in self._unsettled if job.worker != worker]
        for job in [job for job in self._jobs.values() if job.worker == worker and not job.final]:
            if job.attempt >= _MAX_ATTEMPTS:
                what = f"The worker {reason} while it ran this job, {job.attempt} times: see its log."
                job.result = {"error": what}
                self._end(job, "FAILED")
            else:
                self._retried += 1
                self._requeue(job)

    def close(self) -> None:
        """Ends all jobs; nothing is given to workers any more."""
        self._closed = True
        for job in list(self._jobs.values()):
            self.stop(job)
        for job in list(self._unsettled):
            self._signal(job)
        self._notify()

    def wake(self) -> None:
        """Makes `take` and `next_stops` ask again whether their workers are ready."""
        self._notify()

    async def wait(self, condition: Callable[[], _T], seconds: float) -> _T:
        """Waits until a condition on the jobs is met, or the time is over, and returns its value."""
        deadline = time.monotonic() + seconds
        while not (value := condition()) and (left := deadline - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                break
        return value or condition()

    def counts(self) -> JobCounts:
        """The jobs by state: ended ones since the endpoint started."""
        now = Counter(job.status for job in self._jobs.values())
        return JobCounts(
            completed=self._ended["COMPLETED"],
            failed=self._ended["FAILED"] + self._ended["TIMED_OUT"],
            inProgress=now["IN_PROGRESS"],
            inQueue=now["IN_QUEUE"],
            retried=self._retried,
        )

    def stops_pending(self) -> bool:
        """Whether a worker has not yet been asked to stop a job that has ended."""
        return any(self._stops.values())

    def _of(self, worker: str, job_id: str) -> Job | None:
        """The job if this worker has it. Notes that the worker has begun with it."""
        job = self._jobs.get(job_id)
        if job is None or job.worker != worker:
            return None
        job.seen = True
        self._signal(job)
        return job

    def _signal(self, job: Job) -> None:
        """Lets the worker stop a job, once."""
        if job in self._unsettled:
            self._unsettled.remove(job)
            self._stops.setdefault(job.worker, []).append(job.id)
            self._notify()

    def _expire(self, job: Job) -> None:
        self.stop(job, "TIMED_OUT")

    def _time_out(self, job: Job, attempt: int) -> None:
        if job.attempt == attempt:
            self.stop(job, "TIMED_OUT")

    def _requeue(self, job: Job) -> None:
        self._signal(job)
        job.status, job.worker, job.started, job.ended = "IN_QUEUE", "", 0.0, 0.0
        job.progress, job.result, job.result_bytes, job.chunks = None, {}, 0, []
        self._cancel_timers(job)
        self._after(job, job.request.policy.ttl / 1000, self._expire, job)
        self._change(job)

    def _end(self, job: Job, status: JobStatus) -> None:
        job.status, job.ended = status, time.monotonic()
        job.progress = None
        self._ended[status] += 1
        self._cancel_timers(job)
        self._after(job, _KEPT_SYNC_SECONDS if job.sync else _KEPT_SECONDS, self._forget, job)
        self._change(job)

    def _forget(self, job: Job) -> None:
        self._cancel_timers(job)
        self._jobs.pop(job.id, None)

    def _make_room(self, size: int) -> None:
        """Forgets the oldest results while there are too many. Raises Full."""
        jobs = self._jobs.values()
        held = sum(len(job.input) + job.result_bytes for job in jobs)
        ended = sorted((job for job in jobs if job.final), key=lambda job: job.ended)
        while held + size > _MAX_BYTES or len(self._jobs) >= _MAX_JOBS:
            if not ended:
                raise Full("Too many jobs are waiting: send this one later.")
            job = ended.pop(0)
            held -= len(job.input) + job.result_bytes
            self._forget(job)

    def _after(self, job: Job, seconds: float, call: Callable[..., None], *arguments: Any) -> None:
        job.timers.append(asyncio.get_running_loop().call_later(seconds, call, *arguments))

    def _cancel_timers(self, job: Job) -> None:
        for timer in job.timers:
            timer.cancel()
        job.timers.clear()

    def _change(self, job: Job) -> None:
        self._on_change(job)
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
