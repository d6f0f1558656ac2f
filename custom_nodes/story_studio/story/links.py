"""Nodes of API workflows and the links between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Link(NamedTuple):
    """An output of a node: the node's id and the index of the output."""

    node: str
    output: int = 0


Nodes = dict[str, dict[str, Any]]


def is_node(value: Any) -> bool:
    """Whether a value is a node of an API workflow."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("class_type"), str)
        and isinstance(value.get("inputs"), dict)
    )


def is_link(value: Any) -> bool:
    """Whether an input of an API workflow is a link rather than a constant."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
    )


def title_of(node: Mapping[str, Any]) -> str:
    """The title of a node of an API workflow; empty if it has none."""
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return title if isinstance(title, str) else ""


def reader(nodes: Nodes) -> Callable[[str], dict[str, Any]]:
    """A function that returns a node by its id, and one of no class where there is none."""
    return lambda node_id: nodes.get(node_id) or {"class_type": "", "inputs": {}}


def upstream(nodes: Mapping[str, Mapping[str, Any]], *ends: str) -> set[str]:
    """The ids of nodes and of all that they are made from; links to nowhere are ignored."""
    found: set[str] = set()
    waiting = [*ends]
    while waiting:
        node_id = waiting.pop()
        if node_id in nodes and node_id not in found:
            found.add(node_id)
            waiting += [link.node for link in linked(nodes[node_id]).values()]
    return found


def linked(node: Mapping[str, Any]) -> dict[str, Link]:
    """The inputs of a node that are links, by name."""
    return {name: Link(*value) for name, value in node["inputs"].items() if is_link(value)}
