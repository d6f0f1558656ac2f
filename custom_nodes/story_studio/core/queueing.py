"""What ComfyUI is asked to run: prompts can be changed before it validates them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, TypeGuard

import nodes
from comfy.cli_args import args
from server import PromptServer

from ..story.order import IN_ORDER, Ordered
from ..story.recipes import Nodes


def reorder_prompts(reorder: Callable[[Nodes, list[str], str], Ordered | None]) -> None:
    """Passes every prompt that is queued to `order.in_order`, or a function like it."""

    def change(request: dict[str, Any]) -> dict[str, Any]:
        prompt = request.get("prompt")
        # Without a cache ComfyUI hashes nothing, and loads models again for what is requested later.
        if args.cache_none or not _is_valid(prompt):
            return request
        wanted = request.get("partial_execution_targets")
        outputs = [node for node in prompt if _is_output(prompt[node]) and (wanted is None or node in wanted)]
        ordered = reorder(prompt, outputs, uuid.uuid4().hex)
        if ordered is None:
            return request
        return {**request, "prompt": ordered.nodes, "partial_execution_targets": ordered.targets}

    PromptServer.instance.add_on_prompt_handler(change)


def _is_valid(prompt: Any) -> TypeGuard[Nodes]:
    # Anything else is ComfyUI's to refuse.
    return isinstance(prompt, dict) and all(
        isinstance(node, dict)
        and node.get("class_type") in nodes.NODE_CLASS_MAPPINGS
        and isinstance(node.get("inputs"), dict)
        for node in prompt.values()
    )


def _is_output(node: dict[str, Any]) -> bool:
    cls = nodes.NODE_CLASS_MAPPINGS[node["class_type"]]
    return getattr(cls, "OUTPUT_NODE", False) is True and node["class_type"] != IN_ORDER
