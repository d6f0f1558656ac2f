"""Nodes that expand into others: what has to be closed when their prompt ends, and which can be repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import nodes
from comfy_execution.graph import DynamicPrompt

_waiting: set[asyncio.Task[bool]] = set()
"""Kept here, because an event loop keeps only weak references to its tasks."""


def when_prompt_ends(close: Callable[[], None]) -> None:
    """Calls a function when the running prompt ends in any way. Call it within a node.

    ComfyUI runs each prompt in an event loop of its own, which cancels at its end what it still waits for.
    """
    task = asyncio.get_running_loop().create_task(asyncio.Event().wait())
    _waiting.add(task)
    task.add_done_callback(_waiting.discard)
    task.add_done_callback(lambda _: close())


def clear_inputs(graph: DynamicPrompt, node_ids: Iterable[str]) -> None:
    """Removes the inputs of nodes that have run; ComfyUI keeps them, with models, until the next prompt."""
    for node_id in node_ids:
        graph.get_node(node_id)["inputs"] = {}


def saves_or_shows(class_type: str) -> bool:
    """Whether a node is one that ComfyUI runs for what it saves or shows."""
    return getattr(nodes.NODE_CLASS_MAPPINGS[class_type], "OUTPUT_NODE", False) is True
