"""The example workflows as API workflows, as ComfyUI's interface flattens them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from driver.comfy.process import PACK
from story_studio.story.recipes import Nodes

_INPUTS, _OUTPUTS = -10, -20
"""Stand for the inputs and outputs of a subgraph, inside of it, in links."""


def example(name: str) -> Nodes:
    """An example workflow of the pack."""
    saved = json.loads((PACK / "example_workflows" / f"{name}.json").read_text("utf-8"))
    boxes = {box["id"]: box for box in saved.get("definitions", {}).get("subgraphs", [])}
    nodes: Nodes = {}
    _flatten(saved, boxes, "", {}, nodes)
    return nodes


def _flatten(
    graph: dict[str, Any], boxes: dict[str, Any], prefix: str, outer: dict[str, Any], nodes: Nodes
) -> None:
    """Adds the nodes of a graph; `outer` are the values of its own inputs, by name."""
    links = {link["id"]: link for link in map(_link, graph["links"])}
    inner = {node["id"]: boxes[node["type"]] for node in graph["nodes"] if node["type"] in boxes}

    def value_of(link_id: int) -> Any:
        link = links[link_id]
        origin, slot = link["origin_id"], link["origin_slot"]
        if origin == _INPUTS:
            return outer.get(graph["inputs"][slot]["name"])
        if origin not in inner:
            return [f"{prefix}{origin}", slot]
        # The node in the box whose output this is.
        last = next(
            link
            for link in map(_link, inner[origin]["links"])
            if link["target_id"] == _OUTPUTS and link["target_slot"] == slot
        )
        return [f"{prefix}{origin}:{last['origin_id']}", last["origin_slot"]]

    for node in graph["nodes"]:
        if node["type"] == "MarkdownNote":
            continue
        inputs = dict(_typed(node, node["id"] in inner))
        inputs |= {one["name"]: value_of(one["link"]) for one in node["inputs"] if one.get("link")}
        inputs = {name: value for name, value in inputs.items() if value is not None}
        if node["id"] in inner:
            _flatten(inner[node["id"]], boxes, f"{prefix}{node['id']}:", inputs, nodes)
        else:
            nodes[f"{prefix}{node['id']}"] = {"class_type": node["type"], "inputs": inputs}


def _typed(node: dict[str, Any], is_box: bool) -> Iterator[tuple[str, Any]]:
    values = iter(node.get("widgets_values") or [])
    for one in node["inputs"]:
        if "widget" in one:
            yield one["name"], next(values, None)
            if one["name"] == "seed" and not is_box:
                # Whether ComfyUI changes it after each run.
                next(values)


def _link(link: Any) -> dict[str, Any]:
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return link if isinstance(link, dict) else dict(zip(names, link, strict=False))
