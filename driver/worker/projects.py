"""Locks by project: shards of one story may meet on one worker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..cancel import Cancel


class ProjectLocks:
    """Lets one job at a time write to a project's folder. A project that no job uses takes no memory."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[threading.Lock, int]] = {}
        self._changing = threading.Lock()

    def __len__(self) -> int:
        return len(self._locks)

    @contextmanager
    def alone(self, project: str, cancel: Cancel) -> Iterator[None]:
        """Waits for the project. Raises Cancelled if `cancel` is set in the meantime."""
        with self._changing:
            lock, users = self._locks.get(project, (threading.Lock(), 0))
            self._locks[project] = lock, users + 1
        try:
            while not lock.acquire(timeout=1):
                cancel.check()
            try:
                yield
            finally:
                lock.release()
        finally:
            with self._changing:
                users = self._locks[project][1] - 1
                self._locks[project] = lock, users
                if not users:
                    del self._locks[project]
