"""What the worker calls: jobs to do, jobs to stop, results. RunPod's worker library has these paths."""

from __future__ import annotations

import json
from collections.abc import Callable

from aiohttp import web

from .access import guarded
from .jobs import Jobs

_POLL = 20.0
"""Seconds that a request for jobs, or for jobs to stop, is held open."""
_MAX_BODY = 64 * 2**20


class WorkerApi:
    """The endpoint for its workers.

    Args:
        jobs: the endpoint's jobs.
        secret: the first part of all paths, which only workers know. The worker library sends the key of
            the user's own RunPod account where there is one, so no header can tell who it is.
        takes: whether a worker, by its id, may have more jobs; called for each request for jobs.
        on_leave: called with the id of a worker that asks to be replaced.
    """

    def __init__(
        self, jobs: Jobs, secret: str, takes: Callable[[str], bool], on_leave: Callable[[str], None]
    ):
        self._jobs, self._secret, self._takes, self._on_leave = jobs, secret, takes, on_leave

    def app(self) -> web.Application:
        """The application that serves it, on loopback alone."""
        app = web.Application(middlewares=[guarded(None)], client_max_size=_MAX_BODY)
        base = f"/{self._secret}"
        for verb in ("job-take", "job-take-batch"):
            app.router.add_get(f"{base}/{verb}/{{worker}}", self._take)
        app.router.add_get(f"{base}/job-stop/{{worker}}", self._stops)
        app.router.add_post(f"{base}/job-done/{{worker}}/{{job}}", self._done)
        app.router.add_post(f"{base}/job-stream/{{worker}}/{{job}}", self._streamed)
        return app

    def environment(self, url: str, endpoint_id: str, worker: str) -> dict[str, str]:
        """The variables by which a worker finds the endpoint.

        Without RUNPOD_AI_API_KEY the worker library sends no heartbeats, whose process would outlive a worker
        that is killed.

        Args:
            url: where `app` is served.
            endpoint_id: the endpoint's id.
            worker: the worker's id.
        """
        api = f"{url}/{self._secret}"
        return {
            "RUNPOD_ENDPOINT_ID": endpoint_id,
            "RUNPOD_POD_ID": worker,
            # The library derives the address for stops from /job-take/, and appends to the query.
            "RUNPOD_WEBHOOK_GET_JOB": f"{api}/job-take/$ID?gpu=none",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{api}/job-done/$RUNPOD_POD_ID/$ID?gpu=none",
            "RUNPOD_WEBHOOK_POST_STREAM": f"{api}/job-stream/$RUNPOD_POD_ID/$ID?gpu=none",
            # They check a machine of RunPod's.
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
            "RUNPOD_SKIP_GPU_CHECK": "true",
        }

    async def _take(self, request: web.Request) -> web.Response:
        worker, size = request.match_info["worker"], request.query.get("batch_size", "1")
        count = int(size) if size.isdecimal() else 1
        jobs = await self._jobs.take(
            worker, count, _POLL, lambda: self._takes(worker) and request.transport is not None
        )
        if not jobs:
            return web.Response(status=204)
        # The inputs are JSON already.
        texts = [b'{"id": %s, "input": %s}' % (json.dumps(job.id).encode(), job.input) for job in jobs]
        batch = "job-take-batch" in request.path
        body = b"[" + b", ".join(texts) + b"]" if batch else texts[0]
        return web.Response(body=body, content_type="application/json")

    async def _stops(self, request: web.Request) -> web.Response:
        worker = request.match_info["worker"]
        stops = await self._jobs.next_stops(worker, _POLL, lambda: self._takes(worker))
        return web.json_response({"jobsToStop": stops})

    async def _done(self, request: web.Request) -> web.Response:
        worker, job_id = request.match_info["worker"], request.match_info["job"]
        text = await request.read()
        body = json.loads(text)
        if body.get("status") == "IN_PROGRESS":
            self._jobs.progressed(worker, job_id, body.get("output"))
            return web.json_response({})
        self._jobs.finished(worker, job_id, body, len(text))
        if body.get("stopPod"):
            self._on_leave(worker)
            # Its library ends only when its open requests have been answered.
            self._jobs.wake()
        return web.json_response({})

    async def _streamed(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        self._jobs.streamed(request.match_info["worker"], request.match_info["job"], body.get("output"))
        return web.json_response({})
