"""The results that the latest prompt has finished, for clients that ask instead of listening."""

from __future__ import annotations

from typing import Any

_latest: tuple[str, dict[str, dict[str, Any]]] = ("", {})
"""Replaced as a whole, because the route reads it in another thread."""


def note(prompt_id: str, node: str, output: dict[str, Any]) -> None:
    """Keeps what a node shows of its result; forgets those of earlier prompts."""
    global _latest
    _latest = (prompt_id, {**outputs(prompt_id), node: output})


def outputs(prompt_id: str) -> dict[str, dict[str, Any]]:
    """What the nodes of a prompt show, by node id; empty unless it is the latest."""
    latest, shown = _latest
    return shown if latest == prompt_id else {}
