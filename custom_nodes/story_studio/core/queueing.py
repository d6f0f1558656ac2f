"""What ComfyUI is asked to run: prompts can be changed before it validates them, and queued again."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, TypeGuard

import execution
import nodes
from comfy.cli_args import args
from server import PromptServer

from ..story.order import IN_ORDER, Ordered
from ..story.recipes import Nodes

_PATIENCE = 60.0
"""Seconds until an ended prompt is in the history, which ComfyUI writes right after its last node."""


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


class Item(NamedTuple):
    """A prompt in ComfyUI's queue or history.

    Attributes:
        id: of the prompt.
        nodes: the API workflow.
        extra_data: what was sent along with it.
        targets: the output nodes that ComfyUI runs.
        raw: ComfyUI's own entry, of which newer versions have more.
    """

    id: str
    nodes: Nodes
    extra_data: dict[str, Any]
    targets: list[str]
    raw: tuple[Any, ...]


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


def _item(raw: Any) -> Item:
    return Item(raw[1], raw[2], raw[3], raw[4], tuple(raw))


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
    for _ in range(int(_PATIENCE / 0.05)):
        if entry := queue.get_history(prompt_id=prompt_id, map_function=lambda entry: entry):
            return _ended(entry[prompt_id])
        await asyncio.sleep(0.05)
    return None


async def queue_again(item: Item, prompt: Ordered, extra_data: dict[str, Any]) -> bool:
    """Queues another prompt in the place of one that has ended. Whether ComfyUI accepts it."""
    prompt_id = str(uuid.uuid4())
    valid, _, targets, _ = await execution.validate_prompt(prompt_id, prompt.nodes, prompt.targets)
    if valid:
        number, more = item.raw[0], item.raw[5:]
        PromptServer.instance.prompt_queue.put((number, prompt_id, prompt.nodes, extra_data, targets, *more))
    return bool(valid)


def free_memory() -> None:
    """Lets ComfyUI free all models and outputs before the next prompt."""
    PromptServer.instance.prompt_queue.set_flag("unload_models", True)
    PromptServer.instance.prompt_queue.set_flag("free_memory", True)


def soon(work: Callable[[], Coroutine[Any, Any, None]] | Callable[[], Awaitable[None]]) -> None:
    """Runs something in the server's event loop; can be called from any thread."""
    loop = PromptServer.instance.loop
    loop.call_soon_threadsafe(lambda: _keep(asyncio.ensure_future(work(), loop=loop)))


_tasks: set[asyncio.Future[None]] = set()
"""Kept here, because an event loop keeps only weak references to its tasks."""


def _keep(task: asyncio.Future[None]) -> None:
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
