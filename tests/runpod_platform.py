"""A platform of one endpoint, on loopback, that speaks RunPod's protocols to workers and to clients."""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

ENDPOINT, KEY, WORKER_KEY = "studio1endpoint", "test-client-key", "test-worker-key"
FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
_RUN_BYTES = 10 * 2**20
_DROPPED, _LOST, _HALF = 0, 1, 2
_POLL = 20.0
"""Seconds that a worker's question for jobs or for stops is held open."""


class Post(NamedTuple):
    """What a worker posted: when (`time.monotonic`), for which job, and its body: progress or a result."""

    at: float
    worker: str
    job: str
    body: dict[str, Any]

    @property
    def progress(self) -> bool:
        return self.body.get("status") == "IN_PROGRESS"


@dataclass
class PlatformJob:
    """A job and its state: `body` is that of /run, `attempt` counts the times that a worker took it."""

    id: str
    body: dict[str, Any]
    status: str = "IN_QUEUE"
    worker: str = ""
    attempt: int = 0
    queued: float = field(default_factory=time.monotonic)
    taken: float = 0.0
    ended: float = 0.0
    answer: dict[str, Any] = field(default_factory=dict)

    def shown(self) -> dict[str, Any]:
        """The job as the API shows it."""
        data: dict[str, Any] = {"id": self.id, "status": self.status}
        if self.taken:
            data |= {"workerId": self.worker, "delayTime": round((self.taken - self.queued) * 1000)}
        if self.taken and self.ended:
            data["executionTime"] = round((self.ended - self.taken) * 1000)
        return data | self.answer


class Platform(ThreadingHTTPServer):
    """One endpoint. Use it as a context manager.

    Attributes:
        url: its address.
        jobs: every job by its id, in order.
        posts: everything that workers posted, in order.
        late: what was posted for a job after its result.
        asked: method and path of each request of clients.
        endpoint: the endpoint as REST shows it; its `workers` can be changed there.
        scales: each `workers.min` that was set, in order.
        workers: ids of the workers that were seen and not killed by `worker`.
        retry_after: the header of that name in what `fail_next` answers, if it is not empty.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.changed = threading.Condition()
        self.jobs: dict[str, PlatformJob] = {}
        self.posts: list[Post] = []
        self.late: list[Post] = []
        self.asked: list[str] = []
        self.endpoint: dict[str, Any] = {"id": ENDPOINT, "workers": {"min": 0, "max": 3, "idleTimeout": 5}}
        self.scales: list[int] = []
        self.workers: set[str] = set()
        self.stops: dict[str, list[str]] = {}
        self.closed = False
        self.retry_after = ""
        self._faults: list[int] = []

    def __enter__(self) -> Platform:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        self.shutdown()
        self.server_close()

    def worker_environment(self, worker_id: str = "worker-1") -> dict[str, str]:
        """The variables that a worker of this endpoint is started with."""
        api = f"{self.url}/v2/{ENDPOINT}"
        return {
            "RUNPOD_ENDPOINT_ID": ENDPOINT,
            "RUNPOD_POD_ID": worker_id,
            "RUNPOD_AI_API_KEY": WORKER_KEY,
            "RUNPOD_WEBHOOK_GET_JOB": f"{api}/job-take/$ID?gpu=none",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{api}/job-done/$RUNPOD_POD_ID/$ID?gpu=none",
            "RUNPOD_WEBHOOK_POST_STREAM": f"{api}/job-stream/$RUNPOD_POD_ID/$ID?gpu=none",
            "RUNPOD_WEBHOOK_PING": f"{api}/ping/$RUNPOD_POD_ID",
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
            "RUNPOD_SKIP_GPU_CHECK": "true",
        }

    def client_environment(self) -> dict[str, str]:
        """The variables with which a client finds this platform."""
        bases = {"RUNPOD_ENDPOINT_BASE_URL": f"{self.url}/v2", "RUNPOD_REST_URL": f"{self.url}/rest/v2"}
        return {"RUNPOD_API_KEY": KEY, **bases}

    def fail_next(self, count: int, status: int = 503) -> None:
        """Answers the next `count` requests of clients with this HTTP status."""
        with self.changed:
            self._faults += [status] * count

    def drop_next(self, count: int, handled: bool = False) -> None:
        """Closes the connection of the next `count` requests of clients, before or after they are handled."""
        self.fail_next(count, _LOST if handled else _DROPPED)

    def break_next(self, count: int) -> None:
        """Handles the next `count` requests of clients, but breaks their responses off in the body."""
        self.fail_next(count, _HALF)

    def next_fault(self, asked: str) -> int | None:
        """Records a client's request, and returns its fault: a status, a lost connection, or None."""
        with self.changed:
            self.asked.append(asked)
            self.changed.notify_all()
            return self._faults.pop(0) if self._faults else None

    def submit(self, body: dict[str, Any]) -> PlatformJob:
        """Queues the job of a client's /run."""
        job = PlatformJob(f"{uuid.uuid4()}-u1", body)
        with self.changed:
            self.jobs[job.id] = job
            self.changed.notify_all()
        self._limit(job, body.get("policy", {}).get("ttl", 86_400_000))
        return job

    def take(self, worker: str, count: int, alive: Callable[[], bool]) -> list[dict[str, Any]]:
        """Gives a worker up to `count` jobs, as soon as there is one, if it still listens then."""
        self.workers.add(worker)
        with self.changed:
            self.changed.wait_for(lambda: self.closed or self._queue(), _POLL)
            taken = self._queue()[:count] if alive() and not self.closed else []
            for job in taken:
                job.status, job.worker, job.taken = "IN_PROGRESS", worker, time.monotonic()
                job.attempt += 1
            self.changed.notify_all()
        for job in taken:
            self._limit(job, job.body.get("policy", {}).get("executionTimeout", 600_000))
        return [{"id": job.id, "input": job.body["input"]} for job in taken]

    def next_stops(self, worker: str) -> list[str]:
        """The jobs that a worker is to stop, as soon as there is one."""
        with self.changed:
            self.changed.wait_for(lambda: self.closed or self.stops.get(worker), _POLL)
            return self.stops.pop(worker, [])

    def post(self, worker: str, job_id: str, body: dict[str, Any]) -> None:
        """Takes progress or a result; has no effect if the job is no longer with this worker."""
        post = Post(time.monotonic(), worker, job_id, body)
        with self.changed:
            answered = any(earlier.job == job_id and not earlier.progress for earlier in self.posts)
            (self.late if answered else self.posts).append(post)
            job = self.jobs.get(job_id)
            if job and not answered and job.status == "IN_PROGRESS" and job.worker == worker:
                if post.progress:
                    job.answer = {"output": body.get("output")}
                else:
                    job.answer = {name: body[name] for name in ("output", "error") if name in body}
                    self._end(job, "FAILED" if "error" in body else "COMPLETED")
            self.changed.notify_all()

    def stop(self, job: PlatformJob, status: str) -> None:
        """Ends a job that is not finished, and notifies its worker."""
        with self.changed:
            if job.status in FINAL:
                return
            if job.status == "IN_PROGRESS":
                self.stops.setdefault(job.worker, []).append(job.id)
            job.answer = {}
            self._end(job, status)

    def requeue(self, job_id: str) -> None:
        """Requeues a job whose worker vanished, or that is retried, and drops its answer."""
        with self.changed:
            job = self.jobs[job_id]
            job.status, job.answer, job.ended, job.worker = "IN_QUEUE", {}, 0.0, ""
            self.posts = [post for post in self.posts if post.job != job_id or post.progress]
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[], Any], seconds: float = 120.0) -> Any:
        """Waits until a condition on the platform holds, and returns its value."""
        with self.changed:
            value = self.changed.wait_for(condition, seconds)
        assert value, f"Not reached within {seconds} s; jobs: {[job.shown() for job in self.jobs.values()]}"
        return value

    def wait(self, job_id: str, seconds: float = 120.0) -> dict[str, Any]:
        """Waits until a job has ended, and returns it as the API shows it."""
        self.wait_for(lambda: self.jobs[job_id].status in FINAL, seconds)
        return self.jobs[job_id].shown()

    def progress(self, job_id: str) -> list[Any]:
        """The progress messages of a job, in order."""
        return [post.body.get("output") for post in self.posts if post.job == job_id and post.progress]

    def health(self) -> dict[str, Any]:
        """Counts of jobs and workers."""
        counts = Counter(job.status for job in self.jobs.values())
        running = {job.worker for job in self.jobs.values() if job.status == "IN_PROGRESS"}
        names = {"completed": "COMPLETED", "failed": "FAILED", "inProgress": "IN_PROGRESS"}
        jobs = {name: counts[status] for name, status in {**names, "inQueue": "IN_QUEUE"}.items()}
        idle = len(self.workers - running)
        workers = {"idle": idle, "ready": idle, "running": len(running), "initializing": 0, "throttled": 0}
        return {"jobs": {**jobs, "retried": 0}, "workers": workers}

    def _queue(self) -> list[PlatformJob]:
        return [job for job in self.jobs.values() if job.status == "IN_QUEUE"]

    def _end(self, job: PlatformJob, status: str) -> None:
        job.status, job.ended = status, time.monotonic()
        self.changed.notify_all()

    def _limit(self, job: PlatformJob, milliseconds: int) -> None:
        attempt, state = job.attempt, job.status

        def end() -> None:
            if (job.attempt, job.status) == (attempt, state):
                self.stop(job, "TIMED_OUT")

        timer = threading.Timer(milliseconds / 1000, end)
        timer.daemon = True
        timer.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A killed worker or client leaves connections behind.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Platform
    _mute = _half = False

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        version, *path = parts.path.strip("/").split("/")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if version == "v2" and len(path) >= 2 and re.match("job-|ping", path[1]):
            return self._serve_worker(path[1], path[2:], query, body)
        fault = self.server.next_fault(f"{self.command} {parts.path}")
        self._mute, self._half = fault == _LOST, fault == _HALF
        if fault == _DROPPED:
            self.close_connection = True
        elif fault and fault not in (_LOST, _HALF):
            self._answer(fault, {"error": "injected by the test"})
        elif self.headers.get("Authorization") != f"Bearer {KEY}":
            self._answer(401, {"error": "Unauthorized"})
        elif version == "rest":
            self._serve_rest(path, body)
        else:
            self._serve_client(path, query, body)

    def _serve_worker(self, verb: str, path: list[str], query: dict[str, str], body: bytes) -> None:
        platform, worker = self.server, path[0]
        if self.headers.get("Authorization") != WORKER_KEY:
            return self._answer(401, None)
        if verb in ("job-take", "job-take-batch"):
            jobs = platform.take(worker, int(query.get("batch_size", 1)), self._listens)
            return self._answer(
                200 if jobs else 204, jobs if verb == "job-take-batch" else next(iter(jobs), None)
            )
        if verb == "job-stop":
            return self._answer(200, {"jobsToStop": platform.next_stops(worker)})
        if verb == "job-done":
            platform.post(worker, path[1], json.loads(body))
        return self._answer(200, {})

    def _serve_rest(self, path: list[str], body: bytes) -> None:
        platform = self.server
        if path != ["v2", "serverless", ENDPOINT]:
            return self._answer(404, {"error": "endpoint not found"})
        if self.command == "PATCH":
            workers = platform.endpoint["workers"] | json.loads(body)["workers"]
            if not 0 <= workers["min"] <= workers["max"]:
                return self._answer(422, {"error": "workers.min must not be above workers.max"})
            platform.endpoint["workers"] = workers
            platform.scales.append(workers["min"])
        return self._answer(200, platform.endpoint)

    def _serve_client(self, path: list[str], query: dict[str, str], body: bytes) -> None:
        platform, verb = self.server, f"{self.command} {'/'.join(path[1:2])}"
        if path[0] != ENDPOINT:
            return self._answer(404, {"error": "endpoint not found"})
        if verb == "GET health":
            return self._answer(200, platform.health())
        if verb in ("POST run", "POST runsync"):
            if len(body) > _RUN_BYTES * (1 + (verb == "POST runsync")):
                return self._answer(400, {"error": "request body too large"})
            job = platform.submit(json.loads(body))
            if verb == "POST runsync":
                with platform.changed:
                    seconds = int(query.get("wait", 90_000)) / 1000
                    platform.changed.wait_for(lambda: job.status in FINAL, seconds)
            return self._answer(200, job.shown())
        job = platform.jobs.get(path[2]) if len(path) == 3 else None
        if job is None:
            return self._answer(404, {"error": "job not found"})
        if verb == "POST cancel":
            platform.stop(job, "CANCELLED")
        elif verb == "POST retry":
            platform.requeue(job.id)
        elif verb != "GET status":
            return self._answer(404, {"error": "no such operation"})
        return self._answer(200, job.shown())

    def _listens(self) -> bool:
        """Whether the client is still connected."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return not readable or bool(self.connection.recv(1, socket.MSG_PEEK))

    def _answer(self, status: int, data: Any) -> None:
        if self._mute:
            self.close_connection, self._mute = True, False
            return
        text = b"" if status == 204 else json.dumps(data).encode()
        self.send_response(status)
        if status >= 400 and self.server.retry_after:
            self.send_header("Retry-After", self.server.retry_after)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self._half:
            text, self.close_connection, self._half = text[:-1], True, False
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = _serve

    def log_message(self, format: str, *args: object) -> None:
        pass
