"""The endpoint's jobs without HTTP: their order, their ends, and what is kept of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from driver.endpoint import jobs as module
from driver.endpoint.jobs import Full, Job, Jobs
from driver.endpoint.protocol import parse_request

WORKER = "local-1"


def scenario(steps: Callable[[Jobs], Awaitable[None]]) -> None:
    """Runs steps with the jobs of an endpoint."""

    async def run() -> None:
        await steps(Jobs())

    asyncio.run(run())


def submit(jobs: Jobs, name: str = "", sync: bool = False, **policy: Any) -> Job:
    body = {"input": {"task": "image", "prompt": name}, "policy": policy}
    return jobs.submit(parse_request(json.dumps(body).encode()), "image", sync)


async def take(jobs: Jobs, count: int = 1, worker: str = WORKER) -> list[Job]:
    return await jobs.take(worker, count, 5, lambda: True)


async def ended(jobs: Jobs, job: Job) -> str:
    assert await jobs.wait(lambda: job.final, 5)
    return job.status


def test_jobs_are_taken_in_order_and_those_of_low_priority_last() -> None:
    async def steps(jobs: Jobs) -> None:
        low, first, second = submit(jobs, lowPriority=True), submit(jobs), submit(jobs)
        assert await take(jobs, 2) == [first, second]
        assert await take(jobs, 2) == [low]

    scenario(steps)


def test_a_worker_waits_for_a_job_that_is_not_there_yet() -> None:
    async def steps(jobs: Jobs) -> None:
        taking = asyncio.create_task(take(jobs))
        await asyncio.sleep(0)
        job = submit(jobs)
        assert await taking == [job] and job.status == "IN_PROGRESS"
        assert await jobs.take(WORKER, 1, 5, lambda: False) == []

    scenario(steps)


def test_a_worker_that_leaves_is_not_kept_waiting() -> None:
    async def steps(jobs: Jobs) -> None:
        leaving = asyncio.Event()
        polls = [
            asyncio.create_task(jobs.take(WORKER, 1, 600, lambda: not leaving.is_set())),
            asyncio.create_task(jobs.next_stops(WORKER, 600, lambda: not leaving.is_set())),
        ]
        await asyncio.sleep(0)
        leaving.set()
        jobs.wake()
        assert await asyncio.gather(*polls) == [[], []]

    scenario(steps)


def test_a_job_is_stopped_in_its_worker_once_and_only_when_the_worker_has_begun() -> None:
    async def steps(jobs: Jobs) -> None:
        job = submit(jobs)
        await take(jobs)
        jobs.stop(job)
        # The worker library ignores a request to stop a job that it has not begun.
        assert job.status == "CANCELLED" and await jobs.next_stops(WORKER, 0.01) == []
        jobs.progressed(WORKER, job.id, {"phase": "inputs"})
        jobs.progressed(WORKER, job.id, {"phase": "stills"})
        assert await jobs.next_stops(WORKER, 5) == [job.id]
        assert await jobs.next_stops(WORKER, 0.01) == []
        # What it posts afterwards changes nothing.
        jobs.finished(WORKER, job.id, {"output": 1}, 1)
        assert job.shown() == {**job.shown(), "status": "CANCELLED"} and "output" not in job.shown()

    scenario(steps)


def test_a_silent_worker_is_asked_to_stop_a_job_a_little_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SETTLING", 0.05)

    async def steps(jobs: Jobs) -> None:
        job = submit(jobs)
        await take(jobs)
        jobs.stop(job)
        assert await jobs.next_stops(WORKER, 5) == [job.id]

    scenario(steps)


def test_time_limits_end_jobs_in_the_queue_and_on_the_worker() -> None:
    async def steps(jobs: Jobs) -> None:
        waiting = submit(jobs, ttl=20)
        assert await ended(jobs, waiting) == "TIMED_OUT"
        running = submit(jobs, executionTimeout=20)
        await take(jobs)
        jobs.progressed(WORKER, running.id, {})
        assert await ended(jobs, running) == "TIMED_OUT"
        assert await jobs.next_stops(WORKER, 5) == [running.id]

    scenario(steps)


def test_a_job_that_failed_can_be_retried_and_no_other() -> None:
    async def steps(jobs: Jobs) -> None:
        job = submit(jobs)
        assert not jobs.retry(job)
        await take(jobs)
        jobs.finished(WORKER, job.id, {"output": {"generation_time": 0}, "error": "no room"}, 9)
        assert job.shown()["error"] == "no room" and job.status == "FAILED"
        assert jobs.retry(job) and job.shown() == {"id": job.id, "status": "IN_QUEUE"}
        assert await take(jobs) == [job]
        jobs.finished(WORKER, job.id, {"output": 1}, 1)
        assert job.status == "COMPLETED" and not jobs.retry(job)
        assert jobs.counts().retried == 1

    scenario(steps)


def test_the_jobs_of_a_worker_that_is_gone_return_to_the_queue_and_fail_the_second_time() -> None:
    async def steps(jobs: Jobs) -> None:
        job, other = submit(jobs, "kills workers"), submit(jobs, "waits")
        assert await take(jobs) == [job]
        jobs.abandon(WORKER, "died (killed by SIGKILL)")
        assert jobs.queue() == [job, other]
        assert await take(jobs, worker="local-2") == [job]
        # The first worker's post is nobody's any more.
        jobs.finished(WORKER, job.id, {"output": 1}, 1)
        assert job.status == "IN_PROGRESS"
        jobs.abandon("local-2", "died (killed by SIGKILL)")
        assert job.status == "FAILED" and "died (killed by SIGKILL)" in job.shown()["error"]
        assert other.status == "IN_QUEUE"

    scenario(steps)


def test_a_result_that_is_larger_than_runpod_takes_fails_with_the_reason() -> None:
    async def steps(jobs: Jobs) -> None:
        job = submit(jobs)
        await take(jobs)
        jobs.finished(WORKER, job.id, {"output": "large"}, 21 * 2**20)
        assert job.status == "FAILED" and "20 MB" in job.shown()["error"]

    scenario(steps)


def test_results_are_forgotten_after_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT_SYNC_SECONDS", 0.02)

    async def steps(jobs: Jobs) -> None:
        short, long = submit(jobs, sync=True), submit(jobs)
        jobs.stop(short)
        jobs.stop(long)
        await asyncio.sleep(0.1)
        assert jobs.get(short.id) is None and jobs.get(long.id) is long

    scenario(steps)


def test_memory_is_bounded_results_go_first_and_what_waits_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_BYTES", 900)

    async def steps(jobs: Jobs) -> None:
        first, second = submit(jobs, "x" * 300), submit(jobs, "x" * 300)
        jobs.stop(second)
        jobs.stop(first)
        third = submit(jobs, "x" * 300)
        # The one that ended first.
        assert jobs.get(second.id) is None and jobs.get(first.id) is first
        fourth = submit(jobs, "x" * 300)
        assert jobs.get(first.id) is None
        with pytest.raises(Full):
            submit(jobs, "x" * 600)
        assert jobs.queue() == [third, fourth]

    scenario(steps)


def test_purging_removes_what_waits_and_no_more() -> None:
    async def steps(jobs: Jobs) -> None:
        running, waiting = submit(jobs), submit(jobs)
        await take(jobs)
        assert jobs.purge() == 1
        assert (running.status, waiting.status) == ("IN_PROGRESS", "CANCELLED")
        assert jobs.counts().model_dump() == {
            "completed": 0,
            "failed": 0,
            "inProgress": 1,
            "inQueue": 0,
            "retried": 0,
        }

    scenario(steps)


def test_the_end_of_the_endpoint_ends_every_job() -> None:
    async def steps(jobs: Jobs) -> None:
        running, waiting = submit(jobs), submit(jobs)
        await take(jobs)
        jobs.close()
        assert running.status == waiting.status == "CANCELLED"
        assert await jobs.next_stops(WORKER, 5) == [running.id]
        assert await take(jobs) == []
        with pytest.raises(Full, match="is ending"):
            submit(jobs)

    scenario(steps)
