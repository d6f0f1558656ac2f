"""The results that the latest prompt has finished, for clients that ask instead of listening."""

from __future__ import annotations

import time
from typing import Any, NamedTuple


class _Run(NamedTuple):
    """The run of one prompt.

    Attributes:
        started: when it began, in milliseconds since 1970.
        outputs: what its nodes show, by node id.
    """

    prompt_id: str
    started: int
    outputs: dict[str, dict[str, Any]]


_latest = _Run("", 0, {})
"""Replaced as a whole, because the route reads it in another thread."""


def begin(prompt_id: str) -> None:
    """Keeps when the latest prompt began, once; forgets the results of earlier ones."""
    global _latest
    if _latest.prompt_id != prompt_id:
        _latest = _Run(prompt_id, int(time.time() * 1000), {})


def started(prompt_id: str) -> int:
    """When a prompt began, in milliseconds since 1970; 0 unless it is the latest."""
    latest = _latest
    return latest.started if latest.prompt_id == prompt_id else 0


def note(prompt_id: str, node: str, output: dict[str, Any]) -> None:
    """Keeps what a node shows of its result."""
    global _latest
    begin(prompt_id)
    _latest = _latest._replace(outputs={**_latest.outputs, node: output})


def outputs(prompt_id: str) -> dict[str, dict[str, Any]]:
    """What the nodes of a prompt show, by node id; empty unless it is the latest."""
    latest = _latest
    return latest.outputs if latest.prompt_id == prompt_id else {}
