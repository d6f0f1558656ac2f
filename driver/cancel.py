"""Cancelling a job from another thread."""

from __future__ import annotations

import threading


class Cancelled(Exception):
    """The job was cancelled; what it had finished is kept."""


class Cancel(threading.Event):
    """Set to cancel a job. The thread that does the job checks it at least every two seconds."""

    def check(self) -> None:
        """Raises Cancelled if it is set."""
        if self.is_set():
            raise Cancelled("The job was cancelled; what is finished is kept.")
