"""Which checkpoint a graph will find: the node pack's keys, computed before there is a server.

The formula is that of `checkpoint.py` in the node pack, which alone decides at rendering; a test compares
both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from story_studio.stories.graph import Graph
from story_studio.stories.story import RESERVED
from story_studio.stories.templates import is_link

STORE = RESERVED
"""Folder of the checkpoints, below the output folder."""
FOLDERS = {"still": ("stills", ".png"), "clip": ("clips", ".mp4")}
"""Folder and suffix of the checkpoints, by what they hold."""
_PASSING = {"StoryStudio_Still": "image", "StoryStudio_Clip": "video"}
_LOADERS = {"LoadImage": "image", "LoadAudio": "audio"}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "StoryStudio_TalkingVideo": {
        "preset": "custom",
        "continuity": "reencode",
        "start_with_image": False,
        "crf": 16.0,
    }
}
"""Optional inputs that are not in a key at these values."""


def predict(graph: Graph, contents: Mapping[str, str]) -> dict[str, str]:
    """The key of every still and clip, by its node.

    Args:
        graph: the stories.
        contents: SHA-256 in hexadecimal digits of the files in ComfyUI's input folder, by the names that
            loaders take. What else nodes of a template of one's own read is taken for unchanged.
    """
    known: dict[str, str] = {}
    checkpoints = (*graph.stills.values(), *graph.clips.values())
    return {node_id: _hash_node(graph.nodes, node_id, contents, known) for node_id in checkpoints}


def _hash_node(
    nodes: Mapping[str, Any], node_id: str, contents: Mapping[str, str], known: dict[str, str]
) -> str:
    if node_id not in known:
        node = nodes[node_id]
        cls = node["class_type"]
        if passed := _PASSING.get(cls):
            take = node["inputs"].get("take")
            known[node_id] = take or _hash_value(nodes, node["inputs"].get(passed), contents, known)
        else:
            inputs = sorted(item for item in node["inputs"].items() if _is_taken(cls, *item))
            parts = [p for name, value in inputs for p in (name, _hash_value(nodes, value, contents, known))]
            known[node_id] = _hash(cls, _fingerprint(node, contents), *parts)
    return known[node_id]


def _hash_value(
    nodes: Mapping[str, Any], value: Any, contents: Mapping[str, str], known: dict[str, str]
) -> str:
    if not is_link(value):
        whole = isinstance(value, float) and value.is_integer()
        return _hash("constant", json.dumps(int(value) if whole else value, sort_keys=True))
    return _hash("output", str(value[1]), _hash_node(nodes, value[0], contents, known))


def _is_taken(cls: str, name: str, value: Any) -> bool:
    if name == "after" or (value is not None and value == _DEFAULTS.get(cls, {}).get(name)):
        return False
    # A browser gives the loaders widgets of its own, a player or a button, which their classes do not take.
    return name == _LOADERS.get(cls, name)


def _fingerprint(node: Mapping[str, Any], contents: Mapping[str, str]) -> str:
    name = node["inputs"].get(_LOADERS.get(node["class_type"], ""))
    return json.dumps([contents.get(name, False) if isinstance(name, str) else False])


def _hash(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:24]
