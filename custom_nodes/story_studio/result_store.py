"""Finished stills, clips and films on disk, found again by what they were made from.

The key of an output is a hash of the graph upstream of it (`story/keys.py`): classes, constants and the
fingerprints that ComfyUI takes of files. Widgets of the interface alone, such as the player of LoadAudio, are
not in it. A file is written beside its place and renamed; one that is there is never overwritten.
"""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any, Protocol

from .core import execution, folders, server
from .story.keys import ORDER, PASSING, UNDECLARED, Keys
from .story.recipes import is_link
from .story.results import KEY, STORE, Kind

_DRAFTS = {"StoryStudio_TitleCard", "StoryStudio_Animatic"}


class Graph(Protocol):
    """What is used of ComfyUI's DynamicPrompt."""

    def get_node(self, node_id: str) -> dict[str, Any]: ...

    def all_node_ids(self) -> set[str]: ...


def key_of(graph: Graph, node_id: str) -> str:
    """The key of a Still's or Clip's input, or of the take that is chosen in it.

    Returns:
        24 hexadecimal digits. A result that only version 0.1.0 made is named by the key that it had there.
    """
    key, earlier = (
        Keys(graph.get_node, _default_of, _fingerprint, as_written).of(node_id)
        for as_written in (False, True)
    )
    kind = next(kind for kind in Kind if kind.node == graph.get_node(node_id)["class_type"])
    return earlier if earlier != key and not find(kind, key) and find(kind, earlier) else key


def find(kind: Kind, key: str) -> Path | None:
    """The result of a kind with this key, whatever its name."""
    if not re.fullmatch(KEY, key):
        return None
    return min(_folder(kind).glob(f"*.{key}{kind.suffix}"), default=None)


def place(kind: Kind, name: str, key: str) -> Path:
    """Where the result of a kind with this key belongs; `name` is for people and made safe for a path."""
    return _folder(kind) / kind.file_name(name, key)


def item(path: Path) -> dict[str, str]:
    """How ComfyUI's interface and its /view address a file of the output folder."""
    below = path.relative_to(folders.output())
    return {"filename": below.name, "subfolder": below.parent.as_posix(), "type": "output"}


def upstream(graph: Graph, node_id: str) -> dict[str, dict[str, Any]]:
    """The node and all that it is made from, as an API workflow of its own; order (`after`) is left out."""
    found: dict[str, dict[str, Any]] = {}
    waiting = [node_id]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        node = graph.get_node(current)
        inputs = {name: value for name, value in node["inputs"].items() if name != ORDER}
        found[current] = {
            "inputs": inputs,
            "class_type": node["class_type"],
            **({"_meta": node["_meta"]} if "_meta" in node else {}),
        }
        waiting += [value[0] for value in inputs.values() if is_link(value)]
    return found


def is_draft(graph: Graph, node_id: str) -> bool:
    """Whether anything the node is made from is a stand-in that needs no model."""
    return any(node["class_type"] in _DRAFTS for node in upstream(graph, node_id).values())


def workflow_tags(graph: Graph, node_id: str, extra_pnginfo: dict[str, Any] | None) -> dict[str, str]:
    """Metadata that lets ComfyUI open the graph of a file dropped on its canvas, and marks a draft."""
    tags = {"draft": "true"} if is_draft(graph, node_id) else {}
    if server.saves_metadata():
        tags["prompt"] = json.dumps(upstream(graph, _keeper(graph, node_id)))
        tags |= {name: json.dumps(value) for name, value in (extra_pnginfo or {}).items()}
    return tags


def _keeper(graph: Graph, node_id: str) -> str:
    """The Still or Clip that keeps what a node gives, or the node: without one a graph cannot be run."""
    for one in sorted(graph.all_node_ids()):
        node = graph.get_node(one)
        passed = node["inputs"].get(PASSING.get(node["class_type"], ""))
        if is_link(passed) and passed[0] == node_id:
            return one
    return node_id


def _folder(kind: Kind) -> Path:
    return folders.output() / STORE / kind.folder


def _default_of(cls: str, name: str) -> Any:
    default = execution.default_without_effect(cls, name)
    return UNDECLARED if default is execution.NEVER else default


def _fingerprint(node: dict[str, Any]) -> str:
    cls = node["class_type"]
    values = execution.fingerprint(
        node,
        lambda: {
            name: value
            for name, value in node["inputs"].items()
            if name != ORDER and not is_link(value) and _default_of(cls, name) not in (UNDECLARED, value)
        },
    )
    # NaN says "always changed": such an output is never found again.
    return uuid.uuid4().hex if any(value != value for value in values) else json.dumps(values, default=str)
