"""The order of jobs that share one ComfyUI: those that need the loaded model go first.

ComfyUI itself loads, frees and evicts models. The router only decides which job is next, one at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from story_studio.story.graph import Graph

from ..cancel import Cancel
from . import models
from .client import Comfy

Files = frozenset[str]
"""File names of diffusion models."""


class _Needs(NamedTuple):
    first: Files
    last: Files


class JobQueue:
    """The waiting jobs in order of arrival, and the rule for which is next.

    The next job is the oldest that needs only loaded models. Once the oldest of all has been passed over for
    `max_wait` seconds, that one is next, followed by the others that need its model. So the oldest job is
    passed over for at most `max_wait` and the length of one job. Swaps that are forced in this way are at
    least `max_wait` apart, so models are not swapped for every job even if the queue keeps growing.

    Args:
        max_wait: seconds; 0 is first in, first out.
    """

    def __init__(self, max_wait: float):
        self._max_wait = max_wait
        self._waiting: dict[str, _Needs] = {}
        self._loaded: Files = frozenset()
        self._passed_since: float | None = None

    def __contains__(self, job: str) -> bool:
        return job in self._waiting

    def join(self, job: str, first: Files, last: Files) -> None:
        """Adds a job; `first` and `last` are as in `Router.turn`."""
        self._waiting[job] = _Needs(first, last)

    def leave(self, job: str) -> None:
        """Removes a job, if it is waiting."""
        self._waiting.pop(job, None)

    def next(self, now: float) -> str | None:
        """Removes and returns the next job, to be run at once; None if none is waiting.

        Args:
            now: seconds on a monotonic clock.
        """
        if not self._waiting:
            return None
        oldest = next(iter(self._waiting))
        job = next((job for job, needs in self._waiting.items() if needs.first <= self._loaded), oldest)
        if job != oldest:
            self._passed_since = now if self._passed_since is None else self._passed_since
            if now - self._passed_since >= self._max_wait:
                job = oldest
        if job == oldest:
            self._passed_since = None
        # A job without models leaves the loaded ones in place.
        self._loaded = self._waiting.pop(job).last or self._loaded
        return job


class Router:
    """Runs one job at a time on a server. For threads; with asyncio, run the job in `to_thread`.

    Args:
        max_wait: seconds for which the oldest job may be passed over; see `JobQueue`.
    """

    def __init__(self, max_wait: float = 600):
        self._queue = JobQueue(max_wait)
        self._running: str | None = None
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, job: str, first: Files, last: Files, cancel: Cancel | None = None) -> Iterator[None]:
        """Waits for the job's turn, which lasts until the end of the `with` block.

        Args:
            job: a unique name, such as the id of its prompt.
            first: the diffusion models that it needs at its start; empty if it needs none.
            last: those that it leaves loaded at its end.
            cancel: removes it from the queue when it is set.

        Raises:
            Cancelled: it was cancelled while it waited.
            ValueError: a job of that name is waiting or running.
        """
        with self._changed:
            if job in self._queue or job == self._running:
                raise ValueError(f"The job {job!r} is already waiting or running.")
            self._queue.join(job, first, last)
        try:
            with self._changed:
                self._advance()
                while not self._changed.wait_for(lambda: job not in self._queue, timeout=1):
                    if cancel:
                        cancel.check()
            yield
        finally:
            with self._changed:
                self._queue.leave(job)
                self._running = None if self._running == job else self._running
                self._advance()

    def _advance(self) -> None:
        if self._running is None:
            self._running = self._queue.next(time.monotonic())
            self._changed.notify_all()


def needs(graph: Graph, comfy: Comfy) -> tuple[Files, Files]:
    """The diffusion models that a graph needs at its start, and those that it leaves loaded at its end.

    These are the ones of its stills and of its clips; if it has only stills or only clips, both are the same.
    Results that will be reused are not known here, so all nodes count.

    Raises:
        Unreachable: the server does not answer.
    """
    nodes: dict[str, list[Mapping[str, Any]]] = {"still": [], "clip": [], "film": []}
    for node_id, node in graph.nodes.items():
        nodes[graph.owners[node_id].phase].append(node)
    still, clip = (diffusion_models(nodes[phase], comfy) for phase in ("still", "clip"))
    return still or clip, clip or still


def diffusion_models(nodes: Iterable[Mapping[str, Any]], comfy: Comfy) -> Files:
    """The diffusion models that the nodes load. Raises Unreachable if the server does not answer."""
    known = {file for folder in ("diffusion_models", "checkpoints") for file in comfy.models(folder)}
    return frozenset(file for node in nodes for file in models.read_by(node, comfy) if file in known)
