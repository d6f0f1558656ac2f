"""Where a result comes from: the graph, the seed, the prompt and the film that its file names."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..files import read_once
from ..signal.tags import tags_of
from ..story.difference import end_of
from ..story.links import Nodes, is_link, is_node
from ..story.numbers import loads
from ..story.problems import Problems
from ..story.results import FILM_TAG, Kind
from ..story.scenes import Workflow, prompt_of, seed_of

_MOST_NODES = 30_000
"""Of the graphs that are kept."""
_graphs: OrderedDict[tuple[Path, int, int], Nodes] = OrderedDict()
_lock = threading.Lock()


class Origin(NamedTuple):
    """What a still or clip was made from.

    Attributes:
        seed, prompt: of the still or clip itself; None and empty where its graph names none.
        scene: the prompt of its scene: of a clip, that of the still which it is made from.
        film: the tag of its film, see `result_store.Films`; empty for results of earlier versions.
        name: as its node has it; that of the file may have lost letters.
        node: the id of its node.
    """

    seed: float | None = None
    prompt: str = ""
    scene: str = ""
    film: str = ""
    name: str = ""
    node: str = ""


def origin_of(path: Path, kind: Kind) -> Origin:
    """Where the still or clip in a file comes from, as far as the file says."""
    try:
        return _origin(path, kind)
    except OSError:
        return Origin()


@read_once(32768)
def _origin(path: Path, kind: Kind) -> Origin:
    tags = tags_of(path)
    nodes = _graph(tags)
    return about_node(nodes, _end(nodes, kind))._replace(film=tags.get(FILM_TAG, ""))


def graph_in(path: Path) -> Nodes:
    """The API workflow in the file of a result, without what is no node; empty if there is none.

    Those that were read last are kept, up to a number of nodes: a clip has twenty, a long film thousands.
    """
    try:
        about = path.stat()
    except OSError:
        return {}
    place = (path, about.st_mtime_ns, about.st_size)
    with _lock:
        if place in _graphs:
            _graphs.move_to_end(place)
            return _graphs[place]
    nodes = _graph(tags_of(path))
    with _lock:
        _graphs[place] = nodes
        while sum(map(len, _graphs.values())) > _MOST_NODES and len(_graphs) > 1:
            _graphs.popitem(last=False)
    return nodes


def about_node(nodes: Nodes, node_id: str | None) -> Origin:
    """What a graph says of a Still or Clip."""
    if node_id is None:
        return Origin()
    try:
        workflow = Workflow(nodes)
        place = seed_of(workflow, node_id)
        seed = workflow.number(nodes[place.id]["inputs"][place.input]) if place else None
        prompt = prompt_of(workflow, node_id)
        still = workflow.find(node_id, lambda node: node["class_type"] == Kind.STILL.node)
        name = workflow.text(nodes[node_id]["inputs"].get("name"))
        return Origin(seed, prompt, prompt_of(workflow, still) or prompt, name=name, node=node_id)
    except Problems:
        # It is too large, or too entangled.
        return Origin()


def _graph(tags: Mapping[str, str]) -> Nodes:
    try:
        nodes = loads(tags.get("prompt", "{}"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(nodes, dict):
        return {}
    return {node_id: node for node_id, node in nodes.items() if is_node(node)}


def _end(nodes: Nodes, kind: Kind) -> str | None:
    """The node that kept the result. A clip of an earlier version has the graph of the video alone, in which
    no node keeps one: then it is any that no other is made from."""
    if end := end_of(nodes, kind.node):
        return end
    linked = {value[0] for node in nodes.values() for value in node["inputs"].values() if is_link(value)}
    return next((node_id for node_id in nodes if node_id not in linked), None)
