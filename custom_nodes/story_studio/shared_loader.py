"""Slow reading in a thread, once for all who ask for the same thing while it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedLoader(Generic[T]):
    """A function that runs in a thread; equal calls share one run for as long as it lasts.

    What it gives or raises goes to each who waits and is not kept. A run belongs to no event loop: ComfyUI
    has one for each prompt, and when a prompt is interrupted the next one waits for the run that goes on.
    """

    def __init__(self, read: Callable[..., T], name: str):
        """`name` is the start of the threads' names."""
        self._read, self._pool = read, ThreadPoolExecutor(thread_name_prefix=name)
        self._running: dict[tuple[str | float, ...], Future[T]] = {}

    async def __call__(self, *choice: str | float) -> T:
        """What `read(*choice)` gives; it raises what that raises."""
        run = self._running.get(choice)
        if run is None:
            run = self._running[choice] = self._pool.submit(self._read, *choice)
            run.add_done_callback(lambda _: self._running.pop(choice))
        # Whoever is cancelled must not cancel the run of the others.
        return await asyncio.shield(asyncio.wrap_future(run))
