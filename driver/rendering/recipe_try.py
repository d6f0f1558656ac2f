"""A recipe run once on tiny inputs, to see whether it makes something at all."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from story_studio.story.links import Nodes, upstream
from story_studio.story.recipes import Recipe

from ..comfy.client import Comfy
from ..comfy.connection import ComfyError
from ..comfy.prompt import run_prompt
from ..voices.sound import tone, write_wav

SIDE = 128
"""Pixels; sides of 64 are the least that video models take, and some nodes want twice that."""
_SECONDS = 0.5
_RATE = 16000
INPUTS = ("recipe_try.png", "recipe_try.wav")
"""The files that a trial gives to the server."""
_VALUES: Mapping[str, Any] = {
    "width": SIDE,
    "height": SIDE,
    "steps": 2,
    "length": 5,
    "seed": 0,
    "prompt": "a lighthouse by the sea",
    "subject": "a lighthouse by the sea",
    "heading": "A test",
    "text": "This is a test.",
}
_IMAGES = ("image", "frames", "mask", "mask_2", "reference", "reference_2", "reference_3")
_VOICES = ("audio", "audio_2")
_SAVED = {"images", "video", "gifs", "audio"}


class Tried(NamedTuple):
    """What a recipe made: the file, its bytes, and how many seconds it took."""

    path: Path
    size: int
    seconds: float


def try_recipe(recipe: Recipe, end: str, comfy: Comfy, target: Path) -> Tried:
    """Runs a recipe.

    Args:
        recipe: its parameters get tiny values; those that a story does not set keep theirs.
        end: the node at its end, which saves the result.
        comfy: the server.
        target: the path of the result, without its suffix.

    Raises:
        ComfyError: the server refuses the recipe, a node fails, or nothing is saved.
    """
    with tempfile.TemporaryDirectory(prefix="story-studio-") as folder:
        nodes = _with_values(recipe, _upload(comfy, Path(folder)))
    start = time.monotonic()
    run = run_prompt(comfy, {node: nodes[node] for node in upstream(nodes, end)}, lambda *_: None)
    seconds = time.monotonic() - start
    if run.failed or run.status != "success":
        raise ComfyError(f"The recipe failed: {run.failed.message if run.failed else run.status}.")
    saved = [item for key, items in run.outputs.get(end, {}).items() if key in _SAVED for item in items]
    if not saved:
        raise ComfyError("The recipe ran, but the node at its end saved no file: use a Save node.")
    path = comfy.fetch(saved[0], target.with_suffix(Path(saved[0]["filename"]).suffix))
    return Tried(path, path.stat().st_size, seconds)


def _with_values(recipe: Recipe, files: Mapping[str, str]) -> Nodes:
    nodes = copy.deepcopy(recipe.nodes)
    for name, node_id in recipe.parameters.items():
        inputs = nodes[node_id]["inputs"]
        value = _VALUES.get(name)
        if name in _IMAGES or name in _VOICES:
            value = files["voice" if name in _VOICES else "image"]
        if value is not None:
            inputs[next(iter(inputs), "value")] = value
    return nodes


def _upload(comfy: Comfy, folder: Path) -> dict[str, str]:
    image, voice = (folder / name for name in INPUTS)
    Image.linear_gradient("L").resize((SIDE, SIDE)).convert("RGB").save(image)
    write_wav(voice, [tone(_SECONDS, _RATE)], _RATE)
    return {
        "image": comfy.upload(image, image.name),
        "voice": comfy.upload(voice, voice.name),
    }
