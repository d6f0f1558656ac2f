"""Whose turn it is, when several jobs want the same ComfyUI: those first that need the loaded model.

Loading, freeing and evicting models is ComfyUI's own business. The router says who is next, one
job at a time.
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
"""Names of diffusion models' files."""


class _Needs(NamedTuple):
    first: Files
    last: Files


class JobQueue:
    """The jobs that wait, in order of arrival, and the rule which of them is next.

    It is the oldest of those that need nothing but the loaded models. Once the oldest of all has been passed
    over for `patience` seconds, it is that one, and then the others that need its model. So the oldest is
    passed over for `patience` and the length of one job at most. And from one swap that is forced in this way
    to the next it takes at least `patience`, so even a line that only grows is served in turns of a model.

    Args:
        patience: seconds; 0 is first in, first out.
    """

    def __init__(self, patience: float):
        self._patience = patience
        self._waiting: dict[str, _Needs] = {}
        self._loaded: Files = frozenset()
        self._passed: float | None = None

    def __contains__(self, job: str) -> bool:
        return job in self._waiting

    def join(self, job: str, first: Files, last: Files) -> None:
        """A job arrives; `first` and `last` are as in `Router.turn`."""
        self._waiting[job] = _Needs(first, last)

    def leave(self, job: str) -> None:
        """A job does not wait any longer, if it did."""
        self._waiting.pop(job, None)

    def next(self, now: float) -> str | None:
        """Takes the next job out of the line, to be run at once; None if nobody waits.

        Args:
            now: seconds on a clock that never goes back.
        """
        if not self._waiting:
            return None
        oldest = next(iter(self._waiting))
        job = next((job for job, needs in self._waiting.items() if needs.first <= self._loaded), oldest)
        if job != oldest:
            self._passed = now if self._passed is None else self._passed
            if now - self._passed >= self._patience:
                job = oldest
        if job == oldest:
            self._passed = None
        # One that needs no model leaves the loaded ones where they are.
        self._loaded = self._waiting.pop(job).last or self._loaded
        return job


class Router:
    """Gives one job at a time its turn on a server. For threads; with asyncio, run the job in `to_thread`.

    Args:
        patience: seconds for which the oldest job may be passed over; see `JobQueue`.
    """

    def __init__(self, patience: float = 600):
        self._queue = JobQueue(patience)
        self._running: str | None = None
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, job: str, first: Files, last: Files, cancel: Cancel | None = None) -> Iterator[None]:
        """Waits until it is the job's turn, which ends with the `with` block, however that ends.

        Args:
            job: a name that no other job has; the id of its prompt is one.
            first: the diffusion models that it needs at its start; empty if it needs none.
            last: those that it leaves loaded at its end.
            cancel: takes it out of the line when it is set.

        Raises:
            Cancelled: it was cancelled while it waited.
            ValueError: a job of that name waits or runs.
        """
        with self._changed:
            if job in self._queue or job == self._running:
                raise ValueError(f"The job {job!r} already waits or runs.")
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
    """The diffusion models that a graph needs at its start and those that it leaves loaded at its end.

    Those of its stills and of its clips; if it has only one kind, both are the same. What of it is finished
    and will be reused is not known here, and taken for work that is still to be done.

    Raises:
        Unreachable: the server does not answer.
    """
    nodes: dict[str, list[Mapping[str, Any]]] = {"still": [], "clip": [], "film": []}
    for node_id, node in graph.nodes.items():
        nodes[graph.owners[node_id].phase].append(node)
    still, clip = (diffusion_models(nodes[phase], comfy) for phase in ("still", "clip"))
    return still or clip, clip or still


def diffusion_models(nodes: Iterable[Mapping[str, Any]], comfy: Comfy) -> Files:
    """The diffusion models that nodes read. Raises Unreachable if the server does not answer."""
    known = {file for folder in ("diffusion_models", "checkpoints") for file in comfy.models(folder)}
    return frozenset(file for node in nodes for file in models.read_by(node, comfy) if file in known)
