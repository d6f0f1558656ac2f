"""Work in the server's event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from server import PromptServer


def soon(work: Callable[[], Coroutine[Any, Any, None]], otherwise: str) -> None:
    """Runs something in the server's event loop; can be called from any thread.

    Args:
        otherwise: what the log says if it fails: what is lost, and what to do.
    """
    loop = PromptServer.instance.loop
    loop.call_soon_threadsafe(lambda: _keep(loop.create_task(work()), otherwise))


_tasks: set[asyncio.Task[None]] = set()
"""Kept here, because an event loop keeps only weak references to its tasks."""


def _keep(task: asyncio.Task[None], otherwise: str) -> None:
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    task.add_done_callback(lambda done: _report(done, otherwise))


def _report(task: asyncio.Task[None], otherwise: str) -> None:
    if not task.cancelled() and (error := task.exception()):
        logging.error("Story Studio: %s (%s)", otherwise, error, exc_info=error)
