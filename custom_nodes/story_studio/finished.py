"""The results that the latest prompt has finished, for clients that ask instead of listening."""

from __future__ import annotations

import time
from typing import Any

_latest: tuple[str, dict[str, dict[str, Any]]] = ("", {})
"""Replaced as a whole, because the route reads it in another thread."""


_begun: tuple[str, int] = ("", 0)


def begin(prompt_id: str) -> None:
    """Keeps when the latest prompt began, once."""
    global _begun
    if _begun[0] != prompt_id:
        _begun = prompt_id, int(time.time() * 1000)


def started(prompt_id: str) -> int:
    """When a prompt began, in milliseconds since 1970; 0 unless it is the latest."""
    return _begun[1] if _begun[0] == prompt_id else 0


def note(prompt_id: str, node: str, output: dict[str, Any]) -> None:
    """Keeps what a node shows of its result; forgets those of earlier prompts."""
    global _latest
    begin(prompt_id)
    _latest = (prompt_id, {**outputs(prompt_id), node: output})


def outputs(prompt_id: str) -> dict[str, dict[str, Any]]:
    """What the nodes of a prompt show, by node id; empty unless it is the latest."""
    latest, shown = _latest
    return shown if latest == prompt_id else {}
