"""What ComfyUI knows of a prompt's nodes: which of their inputs count, and fingerprints of their files."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import nodes
from comfy_api.internal import _ComfyNodeInternal, first_real_override
from comfy_execution.graph import DynamicPrompt, get_input_info
from execution import IsChangedCache

NEVER = object()


def default_without_effect(class_type: str, name: str) -> Any:
    """The constant with which an input has no effect.

    Returns:
        The default of an optional input; `NEVER` for what the class does not declare, so that it has none
        with any; None for an input that has an effect with each.
    """
    return _default_without_effect(nodes.NODE_CLASS_MAPPINGS[class_type], name)


@functools.cache
def _default_without_effect(cls: type, name: str) -> Any:
    # Cached, because loaders look through their folders when they are asked.
    _, category, options = get_input_info(cls, name)
    if category is None:
        return NEVER
    return options.get("default") if category == "optional" and options else None


def fingerprint(node: dict[str, Any], constants: Callable[[], dict[str, Any]]) -> list[Any]:
    """What a node's class says of the files that it reads.

    Args:
        node: of an API workflow; ComfyUI's cache leaves the answer in the node.
        constants: the node's inputs that are no links.
    """
    changed = False
    if "is_changed" in node:
        changed = node["is_changed"]
    elif ask := _fingerprint_method(nodes.NODE_CLASS_MAPPINGS[node["class_type"]]):
        # Without a cache (--cache-none) ComfyUI asks no node.
        changed = [ask(**constants())]
    return changed if isinstance(changed, list) else [changed]


def _fingerprint_method(cls: type[Any]) -> Callable[..., Any] | None:
    if issubclass(cls, _ComfyNodeInternal):
        # Every V3 class inherits one that says nothing.
        return first_real_override(cls, "fingerprint_inputs")
    return getattr(cls, "IS_CHANGED", None)


def make_graph(prompt: dict[str, dict[str, Any]]) -> DynamicPrompt:
    """An API workflow as ComfyUI hands it to nodes."""
    return DynamicPrompt(prompt)


async def ask_fingerprints(graph: DynamicPrompt, node_ids: list[str]) -> None:
    """Has ComfyUI ask nodes about their files, as it does for a run, which leaves the answers in the nodes.

    Raises:
        Exception: what a node raises, or KeyError for a class or a node that is not there.
    """
    cache = IsChangedCache("", graph, None)  # pyright: ignore[reportArgumentType]
    for node_id in node_ids:
        await cache.get(node_id)
