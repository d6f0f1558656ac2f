"""A bound on all that a job fetches: many inputs, each within its own bounds, would fill a disk."""

from __future__ import annotations

import threading
import time

from story_studio.story.problems import Problem, Problems

MAX_BYTES = 4 * 2**30
MAX_SECONDS = 1800.0


class Allowance:
    """How many bytes, and how much time, the inputs of a job may take together. Thread-safe.

    Args:
        field: the field of the job that names them, for messages.
    """

    def __init__(self, field: str, max_bytes: int = MAX_BYTES, max_seconds: float = MAX_SECONDS):
        self._field, self._max_bytes, self._max_seconds = field, max_bytes, max_seconds
        self._end = time.monotonic() + max_seconds
        self._bytes = 0
        self._lock = threading.Lock()

    def spend(self, size: int) -> None:
        """Counts bytes that were received, and checks. Raises as `check`."""
        with self._lock:
            self._bytes += size
        self.check()

    def check(self) -> None:
        """Raises Problems as soon as the job has taken more than it may."""
        if self._bytes > self._max_bytes:
            what = f"name more than {self._max_bytes // 2**20} MB together: send less in one job."
            raise Problems([Problem(self._field, what)])
        if time.monotonic() > self._end:
            what = f"take longer than {self._max_seconds:.0f} s to fetch: use a faster server, or send less."
            raise Problems([Problem(self._field, what)])
