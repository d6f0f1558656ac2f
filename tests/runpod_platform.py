"""A platform of one endpoint, on loopback: the local endpoint's own API and jobs, without its worker.

It records what is asked and posted, fails on demand, and has RunPod's REST API of the endpoint's limits.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler

from driver.endpoint.access import Access, json_error
from driver.endpoint.client_api import ClientApi
from driver.endpoint.jobs import Job, Jobs
from driver.endpoint.protocol import FINAL, JobRequest, JobStatus, WorkerCounts, parse_request
from driver.endpoint.worker_api import WorkerApi

__all__ = ["ENDPOINT", "FINAL", "KEY", "Platform", "PlatformJob", "Post"]

ENDPOINT, KEY, WORKER_KEY = "studio1endpoint", "test-client-key", "test-worker-key"
PlatformJob = Job
_DROPPED, _LOST, _HALF = 0, 1, 2
_T = TypeVar("_T")


class Post(NamedTuple):
    """What a worker posted: when (`time.monotonic`), for which job, and its body: progress or a result."""

    at: float
    worker: str
    job: str
    body: dict[str, Any]

    @property
    def progress(self) -> bool:
        return self.body.get("status") == "IN_PROGRESS"


class Platform:
    """One endpoint. Use it as a context manager. Its methods may be called from any thread.

    Attributes:
        url: its address.
        jobs: every job by its id, in order.
        bodies: the body of each job's /run, by its id.
        posts: everything that workers posted, in order.
        late: what was posted for a job after its result.
        asked: method and path of each request of clients.
        endpoint: the endpoint as REST shows it; its `workers` can be changed there.
        scales: each `workers.min` that was set, in order.
        workers: ids of the workers that were seen and not killed by `worker`.
        retry_after: the header of that name in what `fail_next` answers, if it is not empty.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.posts: list[Post] = []
        self.late: list[Post] = []
        self.asked: list[str] = []
        self.endpoint: dict[str, Any] = {"id": ENDPOINT, "workers": {"min": 0, "max": 3, "idleTimeout": 5}}
        self.scales: list[int] = []
        self.workers: set[str] = set()
        self.retry_after = ""
        self._faults: list[int] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runners: list[web.AppRunner] = []

    def __enter__(self) -> Platform:
        self._thread.start()
        self._await(self._serve())
        return self

    def __exit__(self, *_: object) -> None:
        self._await(self._stop_serving())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def jobs(self) -> dict[str, Job]:
        return self._queue.all

    @property
    def bodies(self) -> dict[str, dict[str, Any]]:
        return self._queue.bodies

    @property
    def stops(self) -> dict[str, list[str]]:
        """The jobs that each worker is to stop and has not yet asked about."""
        return self._queue.stops

    def worker_environment(self, worker_id: str = "worker-1") -> dict[str, str]:
        """The variables that a worker of this endpoint is started with."""
        # RunPod has its workers send heartbeats, with a key.
        ping = f"{self._worker_url}/ping/$RUNPOD_POD_ID"
        own = {"RUNPOD_AI_API_KEY": WORKER_KEY, "RUNPOD_WEBHOOK_PING": ping}
        return self._worker_api.environment(self._worker_url, ENDPOINT, worker_id) | own

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

    def submit(self, body: dict[str, Any]) -> Job:
        """Queues the job of a client's /run."""
        request = parse_request(json.dumps(body).encode())
        return self._call(lambda: self._queue.submit(request, "unknown"))

    def take(self, worker: str, count: int, alive: Callable[[], bool]) -> list[dict[str, Any]]:
        """Gives a worker up to `count` jobs, as soon as there is one, if it still listens then."""
        taken = self._await(self._queue.take(worker, count, 20.0, alive))
        return [{"id": job.id, "input": json.loads(job.input)} for job in taken]

    def post(self, worker: str, job_id: str, body: dict[str, Any]) -> None:
        """Takes progress or a result; has no effect if the job is no longer with this worker."""
        if body.get("status") == "IN_PROGRESS":
            self._call(lambda: self._queue.progressed(worker, job_id, body.get("output")))
        else:
            self._call(lambda: self._queue.finished(worker, job_id, body, len(json.dumps(body))))

    def stop(self, job: Job, status: JobStatus) -> None:
        """Ends a job that is not finished, and notifies its worker."""
        self._call(lambda: self._queue.stop(job, status))

    def requeue(self, job_id: str) -> None:
        """Requeues a job whose worker vanished, or that is retried, and drops its answer."""
        with self.changed:
            self.posts = [post for post in self.posts if post.job != job_id or post.progress]
        self._call(lambda: self._queue.requeue(self.jobs[job_id]))

    def wait_for(self, condition: Callable[[], Any], seconds: float = 120.0) -> Any:
        """Waits until a condition on the platform holds, and returns its value."""
        with self.changed:
            value = self.changed.wait_for(condition, seconds)
        assert value, f"Not reached within {seconds} s; jobs: {[job.shown() for job in self.jobs.values()]}"
        return value

    def wait(self, job_id: str, seconds: float = 120.0) -> dict[str, Any]:
        """Waits until a job has ended, and returns it as the API shows it."""
        self.wait_for(lambda: self.jobs[job_id].final, seconds)
        return self.jobs[job_id].shown()

    def progress(self, job_id: str) -> list[Any]:
        """The progress messages of a job, in order."""
        return [post.body.get("output") for post in self.posts if post.job == job_id and post.progress]

    def record(self, worker: str, job_id: str, body: dict[str, Any]) -> None:
        """Keeps what a worker posted."""
        post = Post(time.monotonic(), worker, job_id, body)
        with self.changed:
            answered = any(earlier.job == job_id and not earlier.progress for earlier in self.posts)
            (self.late if answered else self.posts).append(post)
            self.changed.notify_all()

    def seen(self, worker: str) -> bool:
        """Notes a worker that asks for jobs."""
        with self.changed:
            self.workers.add(worker)
            self.changed.notify_all()
        return True

    async def _serve(self) -> None:
        self._queue = _Queue(self)
        self._worker_api = WorkerApi(self._queue, "worker", self.seen, lambda _: None)
        client_app = ClientApi(ENDPOINT, self._queue, self._count_workers).app(Access("127.0.0.1", KEY))
        client_app.middlewares.insert(0, self._fail)
        client_app.router.add_route("*", "/rest/v2/serverless/{id}", self._serve_rest)
        worker_app = self._worker_api.app()
        worker_app.middlewares.insert(0, _with_worker_key)
        worker_app.router.add_get("/ping/{worker}", _pong)
        self.url, self._worker_url = await self._listen(client_app), await self._listen(worker_app)

    async def _listen(self, app: web.Application) -> str:
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._runners.append(runner)
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def _stop_serving(self) -> None:
        self._queue.close()
        for runner in self._runners:
            await runner.cleanup()

    async def _serve_rest(self, request: web.Request) -> web.Response:
        if request.match_info["id"] != ENDPOINT:
            return json_error(404, "endpoint not found")
        if request.method == "PATCH":
            workers = self.endpoint["workers"] | (await request.json())["workers"]
            if not 0 <= workers["min"] <= workers["max"]:
                return json_error(422, "workers.min must not be above workers.max")
            self.endpoint["workers"] = workers
            self.scales.append(workers["min"])
        return web.json_response(self.endpoint)

    def _count_workers(self) -> WorkerCounts:
        running = {job.worker for job in self.jobs.values() if job.status == "IN_PROGRESS"}
        idle = len(self.workers - running)
        return WorkerCounts(
            idle=idle, ready=idle, running=len(running), initializing=0, throttled=0, unhealthy=0
        )

    @property
    def _fail(self):
        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            fault = self.next_fault(f"{request.method} {request.path}")
            assert request.transport
            if fault == _DROPPED:
                request.transport.close()
                return web.Response()
            if fault and fault not in (_LOST, _HALF):
                response = json_error(fault, "injected by the test")
                if self.retry_after:
                    response.headers["Retry-After"] = self.retry_after
                return response
            response = await handler(request)
            if fault == _LOST:
                request.transport.close()
            if fault == _HALF and isinstance(response, web.Response):
                return await _break_off(request, response)
            return response

        return middleware

    def _await(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _call(self, work: Callable[[], _T]) -> _T:
        """Runs it in the endpoint's loop, where its jobs live."""
        done: Future[_T] = Future()

        def run() -> None:
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result()


class _Queue(Jobs):
    """The endpoint's jobs, for tests that look into them."""

    def __init__(self, platform: Platform):
        super().__init__()
        self._platform = platform
        self.bodies: dict[str, dict[str, Any]] = {}

    @property
    def all(self) -> dict[str, Job]:
        return self._jobs

    @property
    def stops(self) -> dict[str, list[str]]:
        return self._stops

    def submit(self, request: JobRequest, task: str, sync: bool = False) -> Job:
        body = request.model_dump(exclude_unset=True)
        job = super().submit(request, task, sync)
        self.bodies[job.id] = body
        return job

    def progressed(self, worker: str, job_id: str, output: Any) -> None:
        self._platform.record(worker, job_id, {"status": "IN_PROGRESS", "output": output})
        super().progressed(worker, job_id, output)

    def finished(self, worker: str, job_id: str, result: dict[str, Any], size: int) -> None:
        # First, so that whoever waits for the job's end finds it.
        self._platform.record(worker, job_id, result)
        super().finished(worker, job_id, result, size)

    def requeue(self, job: Job) -> None:
        self._requeue(job)

    def _notify(self) -> None:
        super()._notify()
        with self._platform.changed:
            self._platform.changed.notify_all()


@web.middleware
async def _with_worker_key(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.headers.get("Authorization") != WORKER_KEY:
        return json_error(401, "Unauthorized")
    return await handler(request)


async def _pong(_: web.Request) -> web.Response:
    return web.json_response({})


async def _break_off(request: web.Request, response: web.Response) -> web.StreamResponse:
    """Sends all of a response but its last byte."""
    body = response.body
    assert isinstance(body, bytes) and request.transport
    half = web.StreamResponse(status=response.status, headers={"Content-Type": "application/json"})
    half.content_length = len(body)
    await half.prepare(request)
    await half.write(body[:-1])
    request.transport.close()
    return half
