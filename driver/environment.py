"""Switches and texts that the environment sets."""

from __future__ import annotations

import os

from story_studio.story.problems import Problem, Problems

_ON, _OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def switch(variable: str, default: bool = False) -> bool:
    """Whether a variable switches something on; `default` if it is not set or empty.

    Raises:
        Problems: it says neither yes nor no.
    """
    value = os.environ.get(variable, "").strip().lower()
    if value not in ("", *_ON, *_OFF):
        raise Problems([Problem(variable, f"{value!r} is neither true nor false: set 1 or 0, or unset it.")])
    return value in _ON if value else default
