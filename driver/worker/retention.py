"""What a worker keeps, and for how long: the rule, without I/O. `sweep.py` acts on it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import NamedTuple

from story_studio.story.problems import Problem, Problems

_DAY = 24 * 3600.0
DAYS, GB = "RETENTION_DAYS", "RETENTION_GB"
_DEFAULTS = {DAYS: "7", GB: "10"}
_WHAT = {
    DAYS: "is not a number of days: set it to 0.01 to 3650, to 0 for no limit, or unset it for 7.",
    GB: "is not a number of GB: set it to 0.01 to 100000, to 0 for no limit, or unset it for 10.",
}
_GREATEST = {DAYS: 3650, GB: 100_000}
_CLOCKS = 5.0
"""Seconds by which the clock of a file system may be slow."""


class Use(NamedTuple):
    """The last use of something that is kept, in seconds since 1970, and the bytes that it takes."""

    at: float
    bytes: int


class Limits(NamedTuple):
    """For how long, and how much of it, is kept: in each of the worker's disk, the volume, the bucket.

    Attributes:
        seconds: since the last use; infinite if there is no limit.
        bytes: of all together; infinite if there is no limit.
    """

    seconds: float = math.inf
    bytes: float = math.inf

    @classmethod
    def from_environment(cls) -> Limits:
        """The limits that the environment sets. Raises Problems with all that is wrong."""
        values: dict[str, float] = {}
        problems: list[Problem] = []
        for name, default in _DEFAULTS.items():
            text = os.environ.get(name, "").strip() or default
            value = float(text) if text.replace(".", "", 1).isdecimal() and text.isascii() else -1
            if value and not 0.01 <= value <= _GREATEST[name]:
                problems.append(Problem(name, f"{text!r} {_WHAT[name]}"))
            values[name] = value or math.inf
        if problems:
            raise Problems(problems)
        return cls(values[DAYS] * _DAY, values[GB] * 1e9)


def removable_until(
    uses: Iterable[Use], limits: Limits, now: float, *, missing: float = 0, busy_since: float = math.inf
) -> float:
    """The time up to which what was last used goes, least recently used first; -inf if all of it stays.

    Args:
        uses: of all that is kept.
        limits: for how long, and how much of it.
        now: seconds since 1970.
        missing: bytes that are to become free besides; infinite for as many as possible.
        busy_since: when the oldest running job began. What was used since then stays, whatever the limits.
    """
    ordered = sorted(uses, reverse=True)
    allowed = min(limits.bytes, sum(use.bytes for use in ordered) - missing if missing > 0 else math.inf)
    until, kept = now - limits.seconds, 0
    for use in ordered:
        kept += use.bytes
        if kept > allowed:
            until = max(until, use.at)
            break
    return min(until, math.nextafter(busy_since - _CLOCKS, -math.inf))
