"""ComfyUI's queue and history: what runs, waits and has ended, and another prompt in the place of one."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import execution
from server import PromptServer

from ..story.order import Ordered
from ..story.recipes import Nodes

_END_TIMEOUT = 60.0
"""Seconds until an ended prompt is in the history, which ComfyUI writes right after its last node."""


class Item(NamedTuple):
    """A prompt in ComfyUI's queue or history.

    Attributes:
        id: of the prompt.
        nodes: the API workflow.
        extra_data: what was sent along with it.
        targets: the output nodes that ComfyUI runs.
        entry: ComfyUI's own entry, of which newer versions have more.
    """

    id: str
    nodes: Nodes
    extra_data: dict[str, Any]
    targets: list[str]
    entry: tuple[Any, ...]


class Ended(NamedTuple):
    """A prompt that has ended.

    Attributes:
        item: the prompt.
        status: success, error or interrupted.
        error: ComfyUI's message about the node that failed; empty if none did.
        outputs: what the nodes have saved or shown, by node id.
        started: milliseconds since 1970.
    """

    item: Item
    status: str
    error: dict[str, Any]
    outputs: dict[str, dict[str, Any]]
    started: int


def running() -> Item | None:
    """The prompt that runs."""
    items, _ = PromptServer.instance.prompt_queue.get_current_queue_volatile()
    return _item(items[0]) if items else None


def waiting() -> list[Item]:
    """The prompts that wait, in the order in which they will run."""
    _, items = PromptServer.instance.prompt_queue.get_current_queue_volatile()
    return [_item(item) for item in sorted(items, key=lambda item: item[:2])]


def ended(most: int) -> list[Ended]:
    """The latest prompts that have ended, the newest last."""
    history = PromptServer.instance.prompt_queue.get_history(max_items=most, map_function=lambda entry: entry)
    return [_ended(entry) for entry in history.values()]


def _item(entry: Any) -> Item:
    return Item(entry[1], entry[2], entry[3], entry[4], tuple(entry))


def _ended(entry: dict[str, Any]) -> Ended:
    messages = dict((entry.get("status") or {}).get("messages") or ())
    status = (entry.get("status") or {}).get("status_str") or "error"
    status = "interrupted" if "execution_interrupted" in messages else status
    started = messages.get("execution_start", {}).get("timestamp", 0)
    error = messages.get("execution_error", {})
    return Ended(_item(entry["prompt"]), status, error, entry.get("outputs", {}), started)


async def end_of(prompt_id: str) -> Ended | None:
    """Waits for the end of a prompt whose last node has run. None if somebody removed it from the history."""
    queue = PromptServer.instance.prompt_queue
    for _ in range(int(_END_TIMEOUT / 0.05)):
        if entry := queue.get_history(prompt_id=prompt_id, map_function=lambda entry: entry):
            return _ended(entry[prompt_id])
        await asyncio.sleep(0.05)
    return None


async def queue_again(item: Item, prompt_id: str, prompt: Ordered, extra_data: dict[str, Any]) -> bool:
    """Queues another prompt in the place of one that has ended. Whether ComfyUI accepts it."""
    valid, _, targets, _ = await execution.validate_prompt(prompt_id, prompt.nodes, prompt.targets)
    if valid:
        number, more = item.entry[0], item.entry[5:]
        PromptServer.instance.prompt_queue.put((number, prompt_id, prompt.nodes, extra_data, targets, *more))
    return bool(valid)


def free_memory() -> None:
    """Lets ComfyUI free all models and outputs before the next prompt."""
    PromptServer.instance.prompt_queue.set_flag("unload_models", True)
    PromptServer.instance.prompt_queue.set_flag("free_memory", True)
