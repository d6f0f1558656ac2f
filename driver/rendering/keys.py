"""The keys of the results that a graph will find, predicted before there is a server.

When the graph runs, the node pack decides (`results/result_store.py`), which asks ComfyUI about classes and
files; a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from story_studio.checks.verdict import judged_by
from story_studio.story.classes import FILM_SCENE, LOADERS
from story_studio.story.graph import Graph
from story_studio.story.keys import UNDECLARED, Keys
from story_studio.story.results import Kind

_DEFAULTS: dict[str, dict[str, Any]] = {
    "StoryStudio_TalkingVideo": {
        "preset": "custom",
        "continuity": "reencode",
        "start_with_image": False,
        "crf": 16.0,
    },
    "StoryStudio_ClipFrames": {"context": 1},
    FILM_SCENE: {
        "transition": "film's join",
        "pause_after": -1.0,
        "music": True,
        "translations": "",
        "chapter": True,
    },
    "StoryStudio_Animatic": {"draft": True},
    "StoryStudio_Film": {"width": 0, "height": 0, "language": "", "pause_after": 0.0},
}
"""Optional inputs that are not in a key at these values."""


def predict(graph: Graph, contents: Mapping[str, str]) -> dict[str, str]:
    """The key of every still, sheet, clip and master, by its node; `contents` as in `possible_keys`."""
    return {node: keys[0] for node, keys in possible_keys(graph, contents).items()}


def choose_keys(
    graph: Graph, possible: Mapping[str, tuple[str, ...]], exists: Callable[[Kind, str], bool]
) -> dict[str, str]:
    """The key of every still, sheet, clip and master, by its node. Version 0.1.0 gave some another one.

    Args:
        graph: the stories.
        possible: as `possible_keys` returns it.
        exists: whether there is a result of this key; asked only where several are possible.
    """
    kinds = graph.kept
    chosen: dict[str, str] = {}
    for node, keys in possible.items():
        found = [key for key in keys if exists(kinds[node], key)] if len(keys) > 1 else []
        chosen[node] = [*found, *keys][0]
    return chosen


def possible_keys(graph: Graph, contents: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The key of every still, sheet, clip and master, by its node, and that of version 0.1.0 if it differs.

    Args:
        graph: the stories.
        contents: SHA-256 in hexadecimal digits of the files in ComfyUI's input folder, by the names that
            loaders take. Other files that a custom recipe reads are assumed to be unchanged.
    """

    def fingerprint(node: Mapping[str, Any]) -> str:
        if node["class_type"] == Kind.CHECK.node:
            return json.dumps([judged_by()])
        name = node["inputs"].get(LOADERS.get(node["class_type"], ""))
        return json.dumps([contents.get(name, False) if isinstance(name, str) else False])

    get_node = graph.nodes.__getitem__
    keys = Keys(get_node, _default_of, fingerprint)
    earlier_keys = Keys(get_node, _default_of, fingerprint, as_written=True, judge=keys)
    return {node: tuple(dict.fromkeys((keys.of(node), earlier_keys.of(node)))) for node in graph.kept}


def _default_of(cls: str, name: str) -> Any:
    # A browser adds widgets of its own to the loaders, a player or a button, which their classes do not take.
    declared = name == LOADERS.get(cls, name)
    return _DEFAULTS.get(cls, {}).get(name) if declared else UNDECLARED
