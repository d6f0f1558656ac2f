"""ComfyUI's messages about progress, whose size is that of the prompt unless finished nodes are left out."""

from __future__ import annotations

from comfy_execution.progress import (
    NodeProgressState,
    ProgressHandler,
    ProgressRegistry,
    add_progress_handler,
)


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
