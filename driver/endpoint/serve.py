"""The local endpoint as a whole: both of its addresses, its worker, and how all of it ends."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from story_studio.story.problems import Problem, Problems

from .access import Access
from .client_api import ClientApi
from .display import Display
from .jobs import Job, Jobs
from .metrics import Metrics
from .openapi import document
from .protocol import WorkerCounts
from .webhooks import Webhooks
from .worker_api import WorkerApi
from .worker_process import WorkerProcess

_STOPS_SECONDS = 1.5
"""How long the worker may take to ask which jobs to stop, when the endpoint ends."""


@dataclass(frozen=True)
class Settings:
    """How the endpoint is served.

    Attributes:
        host, port: where clients reach it; port 0 is any free one.
        endpoint_id: in the paths.
        key: that clients must send, or empty.
        log: the file for what the worker prints.
        environment: the worker's variables, besides those by which it finds the endpoint.
    """

    host: str
    port: int
    endpoint_id: str
    key: str
    log: Path
    environment: dict[str, str]


class LocalEndpoint:
    """The endpoint on this machine.

    Args:
        settings: how it is served.
        on_line: called with each line that the worker prints.
    """

    def __init__(self, settings: Settings, on_line: Callable[[str], None]):
        self._settings = settings
        self.jobs = Jobs(self._on_change)
        self._display, self._webhooks = Display(), Webhooks()
        self._worker = WorkerProcess(self._worker_environment, settings.log, on_line, self.jobs.abandon)
        self._metrics = Metrics(self.jobs, self._workers, lambda: self._worker.restarts)
        self._worker_api = WorkerApi(
            self.jobs, secrets.token_urlsafe(32), self._worker.asked, self._worker.replace
        )
        self._worker_url = ""

    async def run(self, on_ready: Callable[[str], None]) -> None:
        """Serves until SIGINT or SIGTERM.

        Args:
            on_ready: called with the endpoint's address once clients can reach it.

        Raises:
            Problems: the address cannot be listened on.
            WorkerFailed: the worker does not start.
        """
        async with AsyncExitStack() as stack:
            # Left in reverse: the jobs and the worker end while clients still get answers.
            self._worker_url = await _listen(stack, self._worker_api.app(), "127.0.0.1", 0)
            url = await _listen(stack, self._client_app(), self._settings.host, self._settings.port)
            stack.enter_context(self._display)
            stopped = _signalled()
            worker = asyncio.create_task(self._worker.run())
            stack.push_async_callback(self._close, worker)
            on_ready(f"{url}/v2/{self._settings.endpoint_id}")
            waiting = asyncio.create_task(stopped.wait())
            await asyncio.wait([worker, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if worker.done():
                await worker

    async def _close(self, worker: asyncio.Task[None]) -> None:
        self.jobs.close()
        if not worker.done():
            await self.jobs.wait(lambda: not self.jobs.stops_pending(), _STOPS_SECONDS)
        await self._worker.stop()
        # It may have been about to start another one.
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        await self._webhooks.close()

    def _client_app(self) -> web.Application:
        settings = self._settings
        app = ClientApi(settings.endpoint_id, self.jobs, self._workers).app(
            Access(settings.host, settings.key)
        )
        app.router.add_get("/metrics", self._metrics.serve, allow_head=False)
        openapi = document()

        async def serve(_: web.Request) -> web.Response:
            return web.json_response(openapi)

        app.router.add_get("/openapi.json", serve, allow_head=False)
        return app

    def _worker_environment(self, worker: str) -> dict[str, str]:
        # Neither the clients' key nor what makes a worker of RunPod's is for this one.
        plain = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
        place = self._worker_api.environment(self._worker_url, self._settings.endpoint_id, worker)
        return plain | self._settings.environment | place

    def _workers(self) -> WorkerCounts:
        state = self._worker.state
        running = int(self.jobs.counts().inProgress > 0)
        ready = int(state == "ready" and not running)
        return WorkerCounts(
            idle=ready,
            initializing=int(state == "initializing"),
            ready=ready,
            running=running,
            throttled=0,
            unhealthy=int(state == "leaving"),
        )

    def _on_change(self, job: Job) -> None:
        for observer in (self._metrics, self._display, self._webhooks):
            observer.on_change(job)


async def _listen(stack: AsyncExitStack, app: web.Application, host: str, port: int) -> str:
    """Serves an application until the stack is left; its address."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        # The text of a failed look-up stands in the error alone, and that of the others is long there.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        what = f"{port} of {host} cannot be listened on ({reason}): choose another, or 0 for any free one."
        raise Problems([Problem("--port", what)]) from None
    # Clients on this machine cannot all reach "any address".
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{runner.addresses[0][1]}"


def _signalled() -> asyncio.Event:
    """Set at the first SIGINT or SIGTERM; further ones do not disturb the end."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # A shell has its background processes ignore SIGINT: that stays.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stopped.set)
    return stopped
