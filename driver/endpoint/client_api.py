"""What clients call: RunPod's paths of an endpoint."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

from aiohttp import web

from story_studio.story.problems import Problems

from ..worker.schema import task_of
from .access import Access, guarded, json_error
from .jobs import Full, Job, Jobs
from .protocol import (
    DEFAULT_WAIT,
    MAX_RUN_BYTES,
    MAX_RUNSYNC_BYTES,
    MAX_WAIT,
    Health,
    Purged,
    WorkerCounts,
    parse_request,
)

_BODY_SECONDS = 60.0
"""How long a client may take to send its request."""


class ClientApi:
    """The endpoint for its clients.

    Args:
        endpoint_id: its id in the paths.
        jobs: its jobs.
        workers: its workers by state.
    """

    def __init__(self, endpoint_id: str, jobs: Jobs, workers: Callable[[], WorkerCounts]):
        self._id, self._jobs, self._workers = endpoint_id, jobs, workers

    def app(self, access: Access) -> web.Application:
        """The application that serves it."""
        app = web.Application(middlewares=[guarded(access)], client_max_size=MAX_RUNSYNC_BYTES)
        app.router.add_get("/v2/serverless/{endpoint}", self._own(self._limits), allow_head=False)
        base = "/v2/{endpoint}"
        app.router.add_post(f"{base}/run", self._own(self._run))
        app.router.add_post(f"{base}/runsync", self._own(self._runsync))
        app.router.add_get(f"{base}/health", self._own(self._health), allow_head=False)
        app.router.add_post(f"{base}/purge-queue", self._own(self._purge))
        app.router.add_get(f"{base}/status/{{job}}", self._own(self._status), allow_head=False)
        app.router.add_get(f"{base}/stream/{{job}}", self._own(self._stream), allow_head=False)
        app.router.add_post(f"{base}/cancel/{{job}}", self._own(self._cancel))
        app.router.add_post(f"{base}/retry/{{job}}", self._own(self._retry))
        return app

    def _own(self, handler: Callable[[web.Request], Awaitable[web.Response]]):
        async def serve(request: web.Request) -> web.Response:
            if request.match_info["endpoint"] != self._id:
                return json_error(404, f"There is no such endpoint here: this one is {self._id}.")
            return await handler(request)

        return serve

    async def _run(self, request: web.Request) -> web.Response:
        job = await self._submit(request, MAX_RUN_BYTES, sync=False)
        return web.json_response({"id": job.id, "status": job.status}) if isinstance(job, Job) else job

    async def _runsync(self, request: web.Request) -> web.Response:
        given = request.query.get("wait", str(DEFAULT_WAIT))
        wait = int(given) if re.fullmatch("[0-9]{1,6}", given) else 0
        if not 1000 <= wait <= MAX_WAIT:
            return json_error(400, f"wait: send milliseconds from 1000 to {MAX_WAIT}.")
        job = await self._submit(request, MAX_RUNSYNC_BYTES, sync=True)
        if not isinstance(job, Job):
            return job
        await self._jobs.wait(lambda: job.final, wait / 1000)
        return web.json_response(job.shown())

    async def _submit(self, request: web.Request, limit: int, sync: bool) -> Job | web.Response:
        try:
            body = await asyncio.wait_for(request.read(), _BODY_SECONDS)
        except TimeoutError:
            return json_error(408, f"The body did not arrive within {_BODY_SECONDS:.0f} s.")
        if len(body) > limit:
            return json_error(400, f"The request body is larger than {limit // 2**20} MB.")
        try:
            wanted = parse_request(body)
            return self._jobs.submit(wanted, task_of(wanted.input), sync)
        except Problems as error:
            return json_error(400, str(error))
        except Full as error:
            return json_error(429, str(error))

    async def _limits(self, _: web.Request) -> web.Response:
        # As RunPod's REST API describes an endpoint; there is one worker, and it is always kept ready.
        return web.json_response({"id": self._id, "workers": {"min": 1, "max": 1}})

    async def _health(self, _: web.Request) -> web.Response:
        health = Health(jobs=self._jobs.counts(), workers=self._workers())
        return web.json_response(health.model_dump())

    async def _purge(self, _: web.Request) -> web.Response:
        return web.json_response(Purged(removed=self._jobs.purge(), status="completed").model_dump())

    async def _status(self, request: web.Request) -> web.Response:
        job = self._jobs.get(request.match_info["job"])
        return web.json_response(job.shown()) if job else _unknown()

    async def _cancel(self, request: web.Request) -> web.Response:
        job = self._jobs.get(request.match_info["job"])
        if job is None:
            return _unknown()
        self._jobs.stop(job)
        return web.json_response(job.shown())

    async def _retry(self, request: web.Request) -> web.Response:
        job = self._jobs.get(request.match_info["job"])
        if job is None:
            return _unknown()
        if not self._jobs.retry(job):
            return json_error(400, f"Only a job that FAILED or TIMED_OUT can be retried; it is {job.status}.")
        return web.json_response({"id": job.id, "status": job.status})

    async def _stream(self, request: web.Request) -> web.Response:
        job = self._jobs.get(request.match_info["job"])
        if job is None:
            return _unknown()
        # As on RunPod it waits a little for the next piece.
        await self._jobs.wait(lambda: job.chunks or job.final, 1.0)
        chunks, job.chunks = job.chunks, []
        return web.json_response({"status": job.status, "stream": [{"output": chunk} for chunk in chunks]})


def _unknown() -> web.Response:
    what = "There is no such job, or no longer: results are kept for 30 minutes, after /runsync for one."
    return json_error(404, what)
