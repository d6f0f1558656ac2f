"""Results on disk: finished stills, clips, films and sheets, found by their keys.

A key is a hash of the graph upstream of the result (`story/keys.py`): node classes, constants, and ComfyUI's
fingerprints of input files. Widgets that only the interface has, such as the player of LoadAudio, are not
included. Files are written under a temporary name and renamed; an existing result is never overwritten.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ..core import execution, folders, server
from ..files import ending_with
from ..story import order
from ..story.check_graph import ANIMATIC
from ..story.classes import LOAD_VIDEO, TITLE_CARD
from ..story.clip_graph import OWN_CLIP, SILENCE
from ..story.keys import ORDER, PASSING, UNDECLARED, Keys, constant, hash_parts
from ..story.needed import TALKING_VIDEO
from ..story.pins import Pin
from ..story.recipes import is_link
from ..story.results import FILM_TAG, KEEPERS, KEY, STORE, Kind, key_in

_DRAFT_NODES = {TITLE_CARD, ANIMATIC}


class Graph(Protocol):
    """The part of ComfyUI's DynamicPrompt that is used here."""

    def get_node(self, node_id: str) -> dict[str, Any]: ...

    def all_node_ids(self) -> set[str]: ...


class Kept(NamedTuple):
    """What is kept of a Still, Clip, Retake or Master.

    Attributes:
        key: of its result, or of the take that it is set to: 24 hexadecimal digits. A result that only an
            earlier version made has the key that it had there.
        path: of the result's file; None if there is none.
        pin: the take that is chosen.
        holds: whether that is used.
    """

    key: str
    path: Path | None
    pin: Pin | None
    holds: bool

    @property
    def is_needed(self) -> bool:
        """Whether the result has to be made."""
        return self.path is None and not self.holds


def kept_by(graph: Graph, node_id: str) -> Kept:
    """What is kept of a Still, Clip, Retake or Master."""
    today, *earlier = _formulas(graph.get_node)
    cls = graph.get_node(node_id)["class_type"]
    kind, key = KEEPERS[cls], today.of(node_id)
    path = find(kind, key)
    if path is None:
        others = (other for formula in earlier if (other := formula.of(node_id)) != key)
        files = ((other, file) for other in others if (file := find(kind, other)))
        key, path = next(files, (key, None))
    # A Master keeps what it makes itself, so no take can be chosen in it.
    pin = today.pin(node_id) if cls in PASSING else None
    return Kept(key, path, pin, pin is not None and today.holds(node_id))


def source_key(graph: Graph, link: list[Any]) -> str:
    """24 hexadecimal digits for what an input is linked to, such as the content of a file."""
    return hash_parts(keys_of(graph.get_node).of(link[0]), str(link[1]))


def keys_of(get_node: Callable[[str], dict[str, Any]]) -> Keys:
    """Today's keys of the nodes that `get_node` returns by their ids."""
    return Keys(get_node, _default_of, _fingerprint)


def find(kind: Kind, key: str) -> Path | None:
    """The file of the result with this key, whatever its name; None if there is none."""
    if not re.fullmatch(KEY, key):
        return None
    return ending_with(folder_of(kind), f".{key}{kind.suffix}")


def finished(graph: Graph) -> set[str]:
    """The Stills, Clips, Retakes and Masters whose results exist, with one look at each folder."""
    existing = {
        kind: {key_in(path.name) for path in folder_of(kind).glob(f"[!.]*{kind.suffix}")}
        for kind in (Kind.STILL, Kind.CLIP, Kind.MASTER)
    }
    ways, found = formulas(graph), set()
    for node_id in graph.all_node_ids():
        kind = KEEPERS.get(graph.get_node(node_id)["class_type"])
        if kind and (keys := existing.get(kind)):
            # A branch that ComfyUI has refused, for instance for a missing node, has no key and does not run.
            with suppress(Exception):
                if any(way.of(node_id) in keys for way in ways):
                    found.add(node_id)
    return found


def folder_of(kind: Kind) -> Path:
    """The folder of all results of a kind."""
    return folders.output() / STORE / kind.folder


def place(kind: Kind, name: str, key: str) -> Path:
    """The path for a new result. `name` is for people, and is made safe for a file name."""
    return folder_of(kind) / kind.file_name(name, key)


def item(path: Path) -> dict[str, str]:
    """A file in the output folder as ComfyUI's interface and /view address it."""
    relative = path.relative_to(folders.output())
    return {"filename": relative.name, "subfolder": relative.parent.as_posix(), "type": "output"}


def path_of(item: Mapping[str, str]) -> Path:
    """The path of a file that is addressed so."""
    return folders.output() / item["subfolder"] / item["filename"]


def upstream(graph: Graph, node_id: str) -> dict[str, dict[str, Any]]:
    """The node and everything upstream of it as an API workflow, without links of `after`."""
    nodes: dict[str, dict[str, Any]] = {}
    pending = [node_id]
    while pending:
        current = pending.pop()
        if current in nodes:
            continue
        node = graph.get_node(current)
        inputs = {name: value for name, value in node["inputs"].items() if name != ORDER}
        nodes[current] = {
            "inputs": inputs,
            "class_type": node["class_type"],
            **({"_meta": node["_meta"]} if "_meta" in node else {}),
        }
        pending += [value[0] for value in inputs.values() if is_link(value)]
    return nodes


def is_draft(graph: Graph, node_id: str) -> bool:
    """Whether the node, or any node upstream of it, is a Title Card or an Animatic that is a draft."""
    return any(_makes_draft(graph, node) for node in upstream(graph, node_id).values())


def _makes_draft(graph: Graph, node: dict[str, Any]) -> bool:
    return node["class_type"] in _DRAFT_NODES and (
        constant(graph.get_node, node["inputs"].get("draft")) is not False
    )


def is_silent_on_purpose(graph: Graph, node_id: str) -> bool:
    """Whether the audio of a node is stock silence, as that of a scene without a voice."""
    link = graph.get_node(node_id)["inputs"].get("audio")
    return is_link(link) and graph.get_node(link[0])["class_type"] == SILENCE


def has_own_sound(graph: Graph, node_id: str) -> bool:
    """Whether the clip of a Film Scene is an Own Clip with the sound of its video."""
    link = graph.get_node(node_id)["inputs"].get("clip")
    while is_link(link):
        node = graph.get_node(link[0])
        if node["class_type"] == OWN_CLIP:
            return not is_link(node["inputs"].get("audio"))
        link = node["inputs"].get(
            {Kind.CLIP.node: "video", Kind.MASTER.node: "clip", Kind.CHECK.node: "clip"}.get(
                node["class_type"], ""
            )
        )
    return False


def starts_with_image(graph: Graph, node_id: str) -> bool:
    """Whether a Talking Video upstream of the node starts with its image."""
    return any(
        node["class_type"] == TALKING_VIDEO
        and constant(graph.get_node, node["inputs"].get("start_with_image")) is True
        for node in upstream(graph, node_id).values()
    )


def workflow_tags(graph: Graph, node_id: str, extra_pnginfo: dict[str, Any] | None) -> dict[str, str]:
    """File metadata from which ComfyUI restores the graph, plus a mark for drafts."""
    tags = {"draft": "true"} if is_draft(graph, node_id) else {}
    if server.saves_metadata():
        tags["prompt"] = json.dumps(order.with_chains(upstream(graph, _output_node(graph, node_id))))
        tags |= {name: json.dumps(value) for name, value in (extra_pnginfo or {}).items()}
        tags |= _film_tag(graph, node_id, extra_pnginfo)
    return tags


class Films:
    """The films of a graph, looked for once."""

    def __init__(self, graph: Graph):
        self._graph = graph
        self._films = [node for node in graph.all_node_ids() if self._class(node) == Kind.FILM.node]
        self._parts: dict[str, set[str]] = {}

    def of(self, node_id: str, workflow_id: str) -> list[str]:
        """The tags by which a still or clip belongs to the film that it is part of, best first.

        A film that has a name of its own is the same in each workflow, as is a project of the driver; any
        other is that of its workflow.
        """
        alone = len(self._films) == 1
        mine = self._films if alone else [film for film in self._films if node_id in self._upstream(film)]
        get_node = self._graph.get_node
        names = [constant(get_node, get_node(film)["inputs"].get("name")) for film in mine]
        named = [name for name in names if isinstance(name, str) and name not in ("", Kind.FILM.word)]
        return [*named, *([workflow_id] if workflow_id else [])]

    def _class(self, node_id: str) -> str:
        return self._graph.get_node(node_id)["class_type"]

    def _upstream(self, film: str) -> set[str]:
        if film not in self._parts:
            self._parts[film] = set(upstream(self._graph, film))
        return self._parts[film]


def _film_tag(graph: Graph, node_id: str, extra_pnginfo: dict[str, Any] | None) -> dict[str, str]:
    workflow = (extra_pnginfo or {}).get("workflow")
    workflow_id = workflow.get("id") if isinstance(workflow, dict) else None
    films = Films(graph).of(node_id, workflow_id if isinstance(workflow_id, str) else "")
    return {FILM_TAG: films[0]} if films else {}


def _output_node(graph: Graph, node_id: str) -> str:
    """The Still or Clip that saves the node's output, without which its graph cannot run; else the node."""
    for candidate in sorted(graph.all_node_ids()):
        node = graph.get_node(candidate)
        source = node["inputs"].get(PASSING.get(node["class_type"], ""))
        if is_link(source) and source[0] == node_id:
            return candidate
    return node_id


def default_of(cls: str, name: str) -> Any:
    """The constant at which an input has no effect, as in `Keys`; None for a class that is not here."""
    try:
        return _default_of(cls, name)
    except KeyError:
        return None


def _default_of(cls: str, name: str) -> Any:
    default = execution.default_without_effect(cls, name)
    return UNDECLARED if default is execution.NEVER else default


def formulas(graph: Graph) -> list[Keys]:
    """Today's keys of a whole graph, then those of earlier versions that can differ from them."""
    today, stock, written = _formulas(graph.get_node)
    videos = any(graph.get_node(node)["class_type"] == LOAD_VIDEO for node in graph.all_node_ids())
    return [today, *([stock] if videos else []), written]


def _formulas(get_node: Callable[[str], dict[str, Any]]) -> tuple[Keys, Keys, Keys]:
    """Today's keys, then those of earlier versions, for which a video was the time of its file."""
    stock, today = partial(_fingerprint, stock=True), keys_of(get_node)
    return (
        today,
        Keys(get_node, _default_of, stock, judge=today),
        Keys(get_node, _default_of, stock, as_written=True, judge=today),
    )


def _fingerprint(node: dict[str, Any], stock: bool = False) -> str:
    cls = node["class_type"]
    values = execution.fingerprint(
        node,
        lambda: {
            name: value
            for name, value in node["inputs"].items()
            if name != ORDER and not is_link(value) and _default_of(cls, name) not in (UNDECLARED, value)
        },
        stock,
    )
    # NaN means "always changed", so such a result is never found again.
    return uuid.uuid4().hex if any(value != value for value in values) else json.dumps(values, default=str)
