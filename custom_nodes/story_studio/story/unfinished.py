"""Scenes of a story that are not finished: what is left to write or to choose when it is opened again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .scene import UNWRITTEN

NO_RECORDING = "choose your recording"
"""What no file is called, so that the recording is said to be missing. The panel's new scenes have it."""


def to_be_filled_in(scene: dict[str, Any]) -> dict[str, Any]:
    """What the data of a scene lacks, so that its story can be opened all the same."""
    found = {}
    if not (scene.keys() & {"image", "clip"} or scene.get("prompt", "").strip()):
        found["prompt"] = UNWRITTEN
    if not (scene.keys() & {"audio", "seconds", "clip"} or scene.get("text", "").strip()):
        found["audio"] = NO_RECORDING
    return found


def left_to_do(scenes: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Sentences about the scenes of a story that lack a prompt or a recording."""
    if unwritten := [scene["id"] for scene in scenes if scene.get("prompt") == UNWRITTEN]:
        yield f"Prompts are left to write, marked FILL IN: {', '.join(unwritten)}."
    if silent := [scene["id"] for scene in scenes if scene.get("audio") == NO_RECORDING]:
        yield f"Recordings are left to choose: {', '.join(silent)}."
