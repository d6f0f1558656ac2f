"""The prompts that are posted to ComfyUI: they can be changed before it validates them."""

from __future__ import annotations

import asyncio
import logging
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

_VALIDATION_TIMEOUT = 30.0
"""Seconds; the server answers nobody meanwhile."""


class Request(NamedTuple):
    """A prompt that somebody queues.

    Attributes:
        nodes: the API workflow.
        outputs: the output nodes that are to run.
        extra_data: what was sent along with it.
        queued: an id that no other prompt has.
        is_from_page: whether a page of ComfyUI queues it, not a program.
    """

    nodes: Nodes
    outputs: list[str]
    extra_data: dict[str, Any]
    queued: str
    is_from_page: bool


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
        is_from_page = _is_page(request.get("client_id"))
        ordered = change(Request(prompt, outputs, extra_data, uuid.uuid4().hex, is_from_page))
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


def _is_page(client_id: Any) -> bool:
    """Whether a client is a page: it says what it supports when it connects, which programs do not do."""
    if not isinstance(client_id, str):
        return False
    return bool(PromptServer.instance.sockets_metadata.get(client_id, {}).get("feature_flags"))


def refused(prompt: Ordered) -> dict[str, list[dict[str, Any]]]:
    """The nodes that ComfyUI would refuse when it validates a prompt, with its errors.

    ComfyUI calls the handlers of prompts where they cannot wait, so this validates in another thread. A node
    that waits for the server while it is validated is not waited for: then nothing counts as refused, and
    ComfyUI finds it itself.
    """
    found: dict[str, list[dict[str, Any]]] = {}

    def validate() -> None:
        # ComfyUI converts the values that it validates.
        copied = {
            node: {**content, "inputs": dict(content["inputs"])} for node, content in prompt.nodes.items()
        }
        wrong = asyncio.run(execution.validate_prompt("", copied, prompt.targets))[3]
        found.update((node, errors["errors"]) for node, errors in wrong.items())

    thread = threading.Thread(target=validate, daemon=True)
    thread.start()
    thread.join(_VALIDATION_TIMEOUT)
    if thread.is_alive():
        logging.warning("Story Studio: validating took too long, so no scene is left out beforehand.")
        return {}
    return found
