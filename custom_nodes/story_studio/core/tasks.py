"""Work in the server's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from server import PromptServer


def soon(work: Callable[[], Coroutine[Any, Any, None]] | Callable[[], Awaitable[None]]) -> None:
    """Runs something in the server's event loop; can be called from any thread."""
    loop = PromptServer.instance.loop
    loop.call_soon_threadsafe(lambda: _keep(asyncio.ensure_future(work(), loop=loop)))


_tasks: set[asyncio.Future[None]] = set()
"""Kept here, because an event loop keeps only weak references to its tasks."""


def _keep(task: asyncio.Future[None]) -> None:
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
