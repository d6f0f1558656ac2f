"""The steps, guidance, sampler, size and model files of a story's stills and clips, read from its graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from story_studio.story.graph import Graph, SceneId, build
from story_studio.story.model_files import is_model_file
from story_studio.story.recipes import is_link
from story_studio.story.schema import Scene

from .prepare import RenderPlan

_NAMES = {
    "steps": "steps",
    "cfg": "cfg",
    "sampler_name": "sampler",
    "scheduler": "scheduler",
    "width": "width",
    "height": "height",
}
"""What nodes call a setting, and what it is called here."""


class UsedSettings(NamedTuple):
    """The settings of stills, of clips, and of clips in which nobody speaks; None where none are made. They
    are the same for all scenes."""

    still: dict[str, Any] | None
    clip: dict[str, Any] | None
    narrated: dict[str, Any] | None = None


def used_settings(plan: RenderPlan) -> UsedSettings:
    """What a story's stills and clips are made with, of the scenes that are not given up."""
    scenes = [scene for scene in plan.story.scenes if scene.id not in plan.failed]
    drawn = next((scene for scene in scenes if not scene.image and scene.kind_of != "clip"), None)
    still = None
    if drawn:
        graph = _graph_of(plan, drawn)
        still = _read(graph, graph.stills[SceneId(0, drawn.id)], frozenset())
    return UsedSettings(
        still, _of_clips(plan, scenes, "talking"), _of_clips(plan, scenes, "narrated", "silent")
    )


def _of_clips(plan: RenderPlan, scenes: list[Scene], *kinds: str) -> dict[str, Any] | None:
    scene = next((scene for scene in scenes if scene.kind_of in kinds), None)
    if scene is None or not plan.clips:
        return None
    graph = _graph_of(plan, scene)
    return _read(graph, graph.clips[SceneId(0, scene.id)], frozenset(graph.stills.values()))


def _graph_of(plan: RenderPlan, scene: Scene) -> Graph:
    return build([replace(plan, story=plan.story.model_copy(update={"scenes": [scene], "film": None}))])


def _read(graph: Graph, end: str, without: frozenset[str]) -> dict[str, Any]:
    """The settings of all nodes upstream of `end`, the nearest first, and the model files that they name."""
    found: dict[str, Any] = {}
    models: dict[str, None] = {}
    nodes = [end]
    for node in nodes:
        for name, value in graph.nodes[node]["inputs"].items():
            if is_link(value):
                if value[0] not in without and value[0] not in nodes:
                    nodes.append(value[0])
                value = graph.nodes[value[0]]["inputs"].get("value")
            if is_model_file(value):
                models[value] = None
            elif name in _NAMES and isinstance(value, str | int | float):
                found.setdefault(_NAMES[name], value)
    return {**found, "models": list(models)}
