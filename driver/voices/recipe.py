"""Texts spoken by a voice recipe, any text-to-speech nodes, on a ComfyUI server before the render."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from story_studio.story.api_graph import Graph, Owner, SceneId
from story_studio.story.keys import hash_parts
from story_studio.story.links import upstream
from story_studio.story.problems import Problem, Problems, nearest
from story_studio.story.recipes import Recipe, load_recipe
from story_studio.story.schema import Scene, Story

from ..comfy.client import Comfy
from ..comfy.connection import ComfyError
from ..comfy.prompt import PromptRun, run_prompt
from . import sound
from .catalog import estimated_seconds
from .speak import METHOD, OnSpoken, Spoken, find_voice, voice_path
from .text import cleaned

_HOUR = 3600.0
_NO_SERVER = (
    "speaks on a ComfyUI, which this command does not start: render the story in draft first, to the same "
    "--output; the voices are kept."
)
_RATE = 48_000
"""Of voices that a recipe makes: what such nodes put out differs."""


def speak_with_recipe(
    story: Story,
    path: Path,
    output: Path,
    comfy: Callable[[], Comfy] | None,
    on_spoken: OnSpoken = lambda *_: None,
    fetch: Callable[[str, Path], bool] = lambda *_: False,
    estimate: bool = False,
) -> Spoken:
    """Speaks the texts of a story's scenes with its voice recipe, all of them in one graph.

    Args:
        story: the story.
        path: of the recipe.
        output: folder of the projects, in which voices are kept as other results are.
        comfy: the server; called only if a voice is missing.
        on_spoken, fetch: as in `speak`.
        estimate: without a server, estimate how long the missing voices will be.

    Raises:
        Problems: the recipe cannot be used, the server lacks its nodes, or there is none.
        ComfyError: the server does not answer.
        OSError: the output folder cannot be written.
    """
    recipe, spoken = load_recipe(path, "voice"), Spoken()
    missing: dict[str, tuple[Scene, Path]] = {}
    for scene in story.scenes:
        if not scene.is_spoken:
            continue
        if not cleaned(scene.text):
            what = "has nothing that can be spoken: write words, or `seconds` for a silent scene."
            spoken.problems[scene.id] = [Problem(f"{scene.place}.text", what)]
            continue
        key = _key(recipe, _values(story, scene))
        kept = find_voice(output, key)
        target = kept or voice_path(output, f"{story.project_id}_{scene.id}", key)
        if kept or fetch(key, target):
            spoken.files[scene.id] = target
            spoken.reused.add(scene.id)
        elif comfy or not estimate:
            missing[scene.id] = scene, target
        else:
            seconds = max(1.0, estimated_seconds(scene.text, story.voice_settings.speed))
            spoken.estimates[scene.id] = seconds
            spoken.files[scene.id] = target.with_name(f"{scene.id}-estimated.wav")
            sound.write_wav(spoken.files[scene.id], (sound.tone(seconds, _RATE),), _RATE)
    if missing and not comfy:
        raise Problems([Problem("voice_settings.workflow", _NO_SERVER)])
    if missing and comfy and not spoken.problems:
        _Render(story, recipe, comfy(), on_spoken, spoken).run(missing)
    return spoken


class _Render:
    """The graph of all texts of a story that are still to be spoken, submitted without those that fail."""

    def __init__(self, story: Story, recipe: Recipe, comfy: Comfy, on_spoken: OnSpoken, spoken: Spoken):
        self._story, self._recipe, self._comfy = story, recipe, comfy
        self._on_spoken, self._spoken = on_spoken, spoken

    def run(self, missing: Mapping[str, tuple[Scene, Path]]) -> None:
        _check_nodes(self._recipe, self._comfy)
        left = dict(missing)
        while left:
            graph, ends = Graph(), dict[str, list[str]]()
            for scene, _ in left.values():
                owner = Owner("still", SceneId(0, scene.id))
                audio = graph.add_recipe(owner, self._recipe, _values(self._story, scene))
                # Scenes with the same text share a node.
                end = graph.add(owner, "voice", "PreviewAudio", audio=audio).node
                ends.setdefault(end, []).append(scene.id)
            self._submit(graph, ends, left)

    def _submit(
        self, graph: Graph, ends: Mapping[str, list[str]], left: dict[str, tuple[Scene, Path]]
    ) -> None:
        """Runs the graph; takes what was spoken or failed out of `left`."""

        def observe(run: PromptRun, _: object) -> None:
            self._on_spoken(", ".join(ends.get(run.node, ())), len(run.done) / len(graph.nodes))

        end = run_prompt(self._comfy, graph.nodes, observe, timeout=_HOUR + 600 * len(ends))
        for node, saved in end.outputs.items():
            for scene in ends.get(node, ()):
                if items := saved.get("audio"):
                    self._keep(scene, items[0], left.pop(scene)[1])
        if end.failed:
            why = f"its voice could not be made by {end.failed.class_type}: {end.failed.message}"
            of_node = [
                scenes for node, scenes in ends.items() if end.failed.node in upstream(graph.nodes, node)
            ]
            for scene in {scene for scenes in of_node for scene in scenes} & left.keys() or set(left):
                self._spoken.failed[scene] = why
                del left[scene]
        elif left:
            # A recipe that ends without its outputs would do so again.
            for scene in list(left):
                self._spoken.failed[scene] = "its voice was not made: run the command again."
                del left[scene]

    def _keep(self, scene: str, item: Mapping[str, Any], target: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="story-studio-") as folder:
            path = Path(folder) / "voice.flac"
            self._comfy.fetch(item, path)
            try:
                samples = sound.trimmed(_decoded(path), _RATE)
            except (av.error.FFmpegError, OSError) as error:
                raise ComfyError(f"The voice of {scene} cannot be read: {error}.") from None
        if not samples.any():
            self._spoken.failed[scene] = "its voice is silent: check the voice recipe and the text."
            return
        edge = sound.silence(sound.EDGE, _RATE)
        sound.write_wav(target, (edge, sound.levelled(samples, _RATE), edge), _RATE)
        self._spoken.files[scene] = target


def _values(story: Story, scene: Scene) -> dict[str, Any]:
    """The parameters of a voice recipe; what the story does not say stays as it is in the file."""
    values = {
        "text": cleaned(scene.text),
        "voice": story.voice_of(scene),
        "language": story.language_of(scene),
        "speed": story.voice_settings.speed,
    }
    return {name: value for name, value in values.items() if value}


def _key(recipe: Recipe, values: Mapping[str, Any]) -> str:
    nodes = {
        node_id: [recipe.nodes[node_id]["class_type"], recipe.nodes[node_id]["inputs"]]
        for node_id in recipe.ordered()
    }
    used = {name: value for name, value in values.items() if name in recipe.parameters}
    return hash_parts("voice recipe", METHOD, json.dumps([nodes, recipe.result, used], sort_keys=True))


def _check_nodes(recipe: Recipe, comfy: Comfy) -> None:
    known = comfy.object_info()
    lacking = {recipe.nodes[node]["class_type"] for node in recipe.ordered()} - set(known)
    if lacking:
        raise Problems(
            Problem("voice_settings.workflow", f"the server has no node {name}, {nearest(name, known)}")
            for name in sorted(lacking)
        )


def _decoded(path: Path) -> np.ndarray:
    """A file's first audio stream as mono, float32 [samples] at 48 kHz. Raises FFmpegError, OSError."""
    resampler = av.AudioResampler("flt", "mono", _RATE)
    with av.open(str(path)) as file:
        frames = [part for frame in file.decode(audio=0) for part in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames] or [np.zeros(0, np.float32)])
