"""Slow loading in a thread, shared by all equal requests that are made while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedLoader(Generic[T]):
    """Runs a function in a thread; calls with equal arguments share one run while it lasts.

    Every waiting caller gets its result or exception; nothing is cached afterwards. A run is independent of
    event loops: ComfyUI creates one for each prompt, and if a prompt is interrupted, the next one can wait
    for the same run.
    """

    def __init__(self, load: Callable[..., T], name: str) -> None:
        """`name` is the prefix of the threads' names."""
        self._load, self._pool = load, ThreadPoolExecutor(thread_name_prefix=name)
        self._running: dict[tuple[str | float, ...], Future[T]] = {}

    async def __call__(self, *arguments: str | float) -> T:
        """Returns `load(*arguments)`, or raises its exception."""
        run = self._running.get(arguments)
        if run is None:
            run = self._running[arguments] = self._pool.submit(self._load, *arguments)
            run.add_done_callback(lambda _: self._running.pop(arguments))
        # A cancelled caller must not cancel the run of the others.
        return await asyncio.shield(asyncio.wrap_future(run))
