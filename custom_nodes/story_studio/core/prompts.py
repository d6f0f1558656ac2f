"""The prompts that are posted to ComfyUI: they can be changed before it validates them."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple, TypeGuard

import execution
import nodes
from comfy.cli_args import args
from server import PromptServer

from ..story.order import IN_ORDER, Ordered
from ..story.recipes import Nodes


class Request(NamedTuple):
    """A prompt that somebody queues.

    Attributes:
        nodes: the API workflow.
        outputs: the output nodes that are to run.
        extra_data: what was sent along with it.
        queued: an id that no other prompt has.
    """

    nodes: Nodes
    outputs: list[str]
    extra_data: dict[str, Any]
    queued: str


def change_prompts(change: Callable[[Request], Ordered | None]) -> None:
    """Lets a function change every prompt that is queued; None leaves it as it is."""

    def on_prompt(request: dict[str, Any]) -> dict[str, Any]:
        prompt = request.get("prompt")
        # Without a cache ComfyUI hashes nothing, and loads models again for what is requested later.
        if args.cache_none or not _is_valid(prompt):
            return request
        wanted = request.get("partial_execution_targets")
        outputs = [node for node in prompt if _is_output(prompt[node]) and (wanted is None or node in wanted)]
        extra_data = request.get("extra_data")
        extra_data = extra_data if isinstance(extra_data, dict) else {}
        ordered = change(Request(prompt, outputs, extra_data, uuid.uuid4().hex))
        if ordered is None:
            return request
        return {**request, "prompt": ordered.nodes, "partial_execution_targets": ordered.targets}

    PromptServer.instance.add_on_prompt_handler(on_prompt)


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


def refused(prompt: Ordered) -> dict[str, str]:
    """The nodes that ComfyUI would refuse when it validates a prompt, and why.

    ComfyUI calls the handlers of prompts where they cannot wait, so this validates in another thread.
    """
    found: dict[str, str] = {}

    def validate() -> None:
        # ComfyUI converts the values that it validates.
        copied = {
            node: {**content, "inputs": dict(content["inputs"])} for node, content in prompt.nodes.items()
        }
        wrong = asyncio.run(execution.validate_prompt("", copied, prompt.targets))[3]
        for node, errors in wrong.items():
            found[node] = " ".join(f"{one['message']}: {one['details']}" for one in errors["errors"])

    thread = threading.Thread(target=validate)
    thread.start()
    thread.join()
    return found
