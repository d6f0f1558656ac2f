"""RunPod's asynchronous jobs, done by the `Worker` in threads of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from ..cancel import Cancel
from .jobs import Worker

Send = Callable[[dict[str, Any], dict[str, Any]], Awaitable[None]]
_EVERY = 1.0
"""Seconds between two messages of a job."""
_LAST = 15.0
"""Seconds that a message on its way may still take when its job has ended."""
_STOPPING = 60.0
"""Seconds that a cancelled job may take until ComfyUI has let go of it and what is finished is stored."""


class Handler:
    """Does jobs; the progress of each is sent in order, and never after its end.

    Args:
        worker: does them.
        send: sends a job's progress to RunPod.
    """

    def __init__(self, worker: Worker, send: Send):
        self._worker, self._send = worker, send

    async def __call__(self, job: dict[str, Any]) -> dict[str, Any]:
        """Does a job. If it is cancelled, by a client or for its time, ComfyUI has stopped when this ends."""
        cancel, messages = Cancel(), _Latest()
        sending = asyncio.create_task(self._report(job, messages))
        doing = asyncio.create_task(
            asyncio.to_thread(self._worker.run, job["id"], job["input"], messages.put, cancel)
        )
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            cancel.set()
            await asyncio.wait([doing], timeout=_STOPPING)
            if doing.done():
                # Retrieved, or asyncio would log its traceback.
                doing.exception()
            raise
        finally:
            messages.end()
            with suppress(TimeoutError):
                await asyncio.wait_for(sending, _LAST)

    async def _report(self, job: dict[str, Any], messages: _Latest) -> None:
        while (message := await messages.take()) is not None:
            await self._send(job, message)
            await messages.pause(_EVERY)


class _Latest:
    """The latest message from a thread: one that was not taken yet is replaced by the next."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._message: dict[str, Any] | None = None
        self._there, self._over = asyncio.Event(), asyncio.Event()

    def put(self, message: dict[str, Any]) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self._put, message)

    def _put(self, message: dict[str, Any]) -> None:
        self._message = message
        self._there.set()

    def end(self) -> None:
        """There are no more messages."""
        self._over.set()
        self._there.set()

    async def take(self) -> dict[str, Any] | None:
        """The next message; None at the end."""
        await self._there.wait()
        self._there.clear()
        return None if self._over.is_set() else self._message

    async def pause(self, seconds: float) -> None:
        """Waits, but not beyond the end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)
