"""How one thread tells another that its job is not wanted any more."""

from __future__ import annotations

import threading


class Cancelled(Exception):
    """The job was cancelled; what it had finished is kept."""


class Cancel(threading.Event):
    """Set by whoever cancels a job, and looked at by what does it, at least every two seconds."""

    def check(self) -> None:
        """Raises Cancelled if it is set."""
        if self.is_set():
            raise Cancelled("The job was cancelled; what is finished is kept.")
