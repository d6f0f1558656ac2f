"""Where a result comes from: the graph, the seed, the prompt and the film that its file names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import av
from PIL import Image

from .story.problems import Problems
from .story.recipes import Nodes, is_link
from .story.results import FILM_TAG, Kind
from .story.scenes import Workflow, prompt_of, seed_of


class Origin(NamedTuple):
    """What a still or clip was made from.

    Attributes:
        seed, prompt: of the still or clip itself; None and empty where its graph names none.
        scene: the prompt of its scene: of a clip, that of the still which it is made from.
        film: the tag of its film, see `result_store.films_of`; empty for results of earlier versions.
    """

    seed: float | None = None
    prompt: str = ""
    scene: str = ""
    film: str = ""


def origin_of(path: Path, kind: Kind) -> Origin:
    """Where the still or clip in a file comes from, as far as the file says."""
    try:
        about = path.stat()
    except OSError:
        return Origin()
    return _origin(path, kind, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=32768)
def _origin(path: Path, kind: Kind, changed: int, size: int) -> Origin:
    tags = _tags(path)
    nodes = _graph(tags)
    return about_node(nodes, _end(nodes, kind))._replace(film=tags.get(FILM_TAG, ""))


def graph_in(path: Path) -> Nodes:
    """The API workflow in the file of a result; empty if there is none."""
    return _graph(_tags(path))


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
        return Origin(seed, prompt, prompt_of(workflow, still) or prompt)
    except Problems:
        # It is too large, or too entangled.
        return Origin()


def _tags(path: Path) -> Mapping[str, str]:
    try:
        if path.suffix == ".png":
            with Image.open(path) as image:
                return {str(name): value for name, value in image.info.items() if isinstance(value, str)}
        with av.open(str(path)) as container:
            return dict(container.metadata)
    except (OSError, ValueError, SyntaxError):
        # It was deleted, or is no image or video.
        return {}


def _graph(tags: Mapping[str, str]) -> Nodes:
    try:
        nodes = json.loads(tags.get("prompt", "{}"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(nodes, dict):
        return {}
    return {node_id: node for node_id, node in nodes.items() if _is_node(node)}


def _is_node(node: object) -> bool:
    return (
        isinstance(node, dict)
        and isinstance(node.get("class_type"), str)
        and isinstance(node.get("inputs"), dict)
    )


def _end(nodes: Nodes, kind: Kind) -> str | None:
    """The node that kept the result: the one of its class that no other of the class is made from.

    A clip of an earlier version, or of a node that keeps none, has the graph of the video alone.
    """
    linked = {value[0] for node in nodes.values() for value in node["inputs"].values() if is_link(value)}
    ends = [node_id for node_id in nodes if node_id not in linked]
    keepers = [node_id for node_id in ends if nodes[node_id]["class_type"] == kind.node]
    return next(iter(keepers or ends), None)
