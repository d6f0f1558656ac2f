"""The nodes between Clip Frames and Master, repeated for each window of the clip.

Pure functions over plain data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .keys import Node
from .recipes import Link, Nodes, is_link

CLIP_FRAMES = "StoryStudio_ClipFrames"
WINDOW = "StoryStudio_MasterWindow"
WINDOWS = "StoryStudio_MasterWindows"
INPUTS = tuple(f"window_{number}" for number in range(1, 17))
"""The inputs of a Master Windows node that it requests one after the other."""
VALUE = "value_"
"""The start of the undeclared inputs by which a Master Windows node gets what all windows share."""
FRAMES, FPS, MULTIPLIER = 0, 1, 2
"""The outputs of Clip Frames."""
_FRAME_BY_FRAME = frozenset(
    (
        "ImageUpscaleWithModel",
        "ImageScale",
        "ImageScaleBy",
        "ImageScaleToTotalPixels",
        "ImageSharpen",
        "ImageBlur",
        "ImageCrop",
    )
)
"""Stock nodes that look at each frame alone, so that windows need no context."""


@dataclass(frozen=True)
class Repeated:
    """The nodes that are repeated.

    Attributes:
        source: the id of the Clip Frames node.
        nodes: the ids of the nodes between it and the end, in topological order.
        end: the output that is the changed frames.
        shared: the outputs of other nodes that they use, which run once.
    """

    source: str
    nodes: tuple[str, ...]
    end: Link
    shared: tuple[Link, ...]

    def is_frame_by_frame(self, get_node: Callable[[str], Node]) -> bool:
        """Whether every node is known to look at each frame alone."""
        return all(get_node(node)["class_type"] in _FRAME_BY_FRAME for node in self.nodes)


def repeated(get_node: Callable[[str], Node], end: Link) -> Repeated:
    """What has to be repeated for each window.

    Args:
        get_node: a node of an API workflow by its id.
        end: the output that is linked to the Master.

    Raises:
        ValueError: it does not come from one Clip Frames node; the message says what to do.
    """
    order: dict[str, bool] = {}
    sources: set[str] = set()

    def visit(node_id: str) -> bool:
        if node_id not in order:
            node = get_node(node_id)
            if node["class_type"] == CLIP_FRAMES:
                sources.add(node_id)
                return True
            depends = [visit(value[0]) for value in node["inputs"].values() if is_link(value)]
            order[node_id] = any(depends)
        return order[node_id]

    if not visit(end.node) or len(sources) != 1:
        raise ValueError(
            "The frames of a Master have to come from one Clip Frames node: link the clip to Clip Frames, "
            "its frames to the nodes that change them, and those to the Master."
        )
    inner = tuple(node for node, depends in order.items() if depends)
    links = (Link(*value) for node in inner for value in get_node(node)["inputs"].values() if is_link(value))
    shared = dict.fromkeys(link for link in links if link.node not in sources and not order[link.node])
    return Repeated(next(iter(sources)), inner, end, tuple(shared))


def window_nodes(
    get_node: Callable[[str], Node],
    repeat: Repeated,
    run: str,
    index: int,
    values: Mapping[Link, Any],
    numbers: Mapping[int, float],
) -> tuple[Nodes, Link]:
    """The nodes of one window: one that reads its frames, the repeated ones, and one that adds the result.

    Args:
        get_node: a node of the workflow by its id.
        repeat: what is repeated.
        run: the id of the run, by which the ids of the nodes begin.
        index: the number of the window.
        values: the values of the shared outputs, which the nodes get as constants, so that what made them
            does not run again whatever happens to ComfyUI's cache.
        numbers: the values of the other outputs of Clip Frames.

    Returns:
        The nodes, and the output of the last one.
    """
    prefix = f"{run}.{index}."
    read = prefix + repeat.source

    def placed(value: Any) -> Any:
        if not is_link(value):
            return value
        link = Link(*value)
        if link.node == repeat.source:
            return numbers.get(link.output, [read, 0])
        return values[link] if link in values else [prefix + link.node, link.output]

    nodes: Nodes = {read: _node(WINDOW, run=run, index=index)}
    for node_id in repeat.nodes:
        node = get_node(node_id)
        inputs = {name: placed(value) for name, value in node["inputs"].items()}
        nodes[prefix + node_id] = _node(node["class_type"], **inputs)
    add = prefix + "add"
    nodes[add] = _node(WINDOW, run=run, index=index, frames=placed(list(repeat.end)))
    return nodes, Link(add)


def one_by_one(run: str, windows: Iterable[Link]) -> tuple[Nodes, Link]:
    """Nodes that request windows one after the other, in few levels, and the output of the last to run."""
    links, nodes = list(windows), {}
    while True:
        groups = [links[start : start + len(INPUTS)] for start in range(0, len(links), len(INPUTS))]
        is_end = len(groups) == 1
        links = [
            _windows_node(nodes, run, group, "end" if is_end else f"{len(groups)}_{number}")
            for number, group in enumerate(groups)
        ]
        if is_end:
            return nodes, links[0]


def _windows_node(nodes: Nodes, run: str, links: Iterable[Link], name: str) -> Link:
    step = "end" if name == "end" else "wait"
    inputs = {name: list(link) for name, link in zip(INPUTS, links, strict=False)}
    nodes[f"{run}.{name}"] = _node(WINDOWS, run=run, step=step, **inputs)
    return Link(f"{run}.{name}")


def begin_node(run: str, repeat: Repeated) -> tuple[Nodes, Link]:
    """The node that a Master expands into: it gets what the windows share."""
    inputs = {f"{VALUE}{number}": list(link) for number, link in enumerate(repeat.shared)}
    return {f"{run}.begin": _node(WINDOWS, run=run, step="begin", **inputs)}, Link(f"{run}.begin")


def rest_node(run: str, first: Link) -> tuple[Nodes, Link]:
    """The node that waits for the first window, and expands into the others."""
    inputs = {INPUTS[0]: list(first)}
    return {f"{run}.rest": _node(WINDOWS, run=run, step="rest", **inputs)}, Link(f"{run}.rest")


def _node(cls: str, /, **inputs: Any) -> Node:
    return {"class_type": cls, "inputs": inputs}
