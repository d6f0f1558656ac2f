"""The shipped recipes, with readable node ids."""

from __future__ import annotations

import json

from story_studio.story.recipes import FOLDER, Nodes
from workflows.node_ids import renamed


def read_titled(name: str) -> Nodes:
    """A shipped recipe with its nodes' titles, without $, as ids."""
    nodes = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return renamed(nodes, {node_id: node["_meta"]["title"].lstrip("$") for node_id, node in nodes.items()})
