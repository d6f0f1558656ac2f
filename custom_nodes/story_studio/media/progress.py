"""The progress of long work."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float], None]
"""Receives the progress of long work, 0 to 1. It may raise to cancel the work; partial files are removed."""


def part_of(progress: Progress, start: float, end: float) -> Progress:
    """The progress of work that takes the whole from `start` to `end`, 0 to 1."""
    return lambda done: progress(start + done * (end - start))
