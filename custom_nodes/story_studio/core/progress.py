"""ComfyUI's record of progress: what runs now, and messages whose size is not that of the prompt."""

from __future__ import annotations

from typing import NamedTuple

from comfy_execution.graph import DynamicPrompt
from comfy_execution.progress import (
    NodeProgressState,
    NodeState,
    ProgressHandler,
    ProgressRegistry,
    add_progress_handler,
    get_progress_state,
)


class Running(NamedTuple):
    """A node that is running, by the id under which ComfyUI shows it, and how far it is."""

    node: str
    value: float
    max: float


def running() -> tuple[str, list[Running]]:
    """The id of the latest prompt, and its running nodes."""
    registry = get_progress_state()
    # A copy, because the prompt runs in another thread.
    states = dict(registry.nodes)
    return registry.prompt_id, [
        Running(registry.dynprompt.get_display_node_id(node), state["value"], state["max"])
        for node, state in states.items()
        if state["state"] == NodeState.Running
    ]


def running_graph() -> DynamicPrompt:
    """The graph of the latest prompt."""
    return get_progress_state().dynprompt


def forget_finished_nodes() -> None:
    """Lets the messages about the running prompt name only the nodes that are running.

    Each message names every node that has run, so without this their size grows with the square of a story.
    """
    add_progress_handler(_Forget("story_studio"))


class _Forget(ProgressHandler):
    """Comes after the handler that sends the messages, so each node's end is sent once."""

    _registry: ProgressRegistry | None = None

    def set_registry(self, registry: ProgressRegistry) -> None:
        self._registry = registry

    def finish_handler(self, node_id: str, state: NodeProgressState, prompt_id: str) -> None:
        if self._registry:
            self._registry.nodes.pop(node_id, None)
