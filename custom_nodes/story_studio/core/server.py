"""The ComfyUI server: routes, texts and progress on nodes, interruption, and a flag."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import comfy.model_management
import comfy.utils
from aiohttp import web
from comfy.cli_args import args
from comfy_execution.utils import get_executing_context
from server import PromptServer

Interrupted = comfy.model_management.InterruptProcessingException
"""What `stop_if_interrupted` raises."""


def add_post_route(path: str, handler: Callable[[web.Request], Awaitable[web.Response]]) -> None:
    """Registers a handler for POST requests to a path."""
    PromptServer.instance.routes.post(path)(handler)


def add_get_route(path: str, handler: Callable[[web.Request], Awaitable[web.Response]]) -> None:
    """Registers a handler for GET requests to a path."""
    PromptServer.instance.routes.get(path)(handler)


def show_text(node_id: str, text: str) -> None:
    """Shows a text on a node, in place of the previous one."""
    PromptServer.instance.send_progress_text(text, node_id)


def send_executed(node_id: str, output: dict[str, Any]) -> None:
    """Sends whoever queued the running prompt what a node has made."""
    instance = PromptServer.instance
    context = get_executing_context()
    if instance.client_id is not None and context:
        data = {"node": node_id, "display_node": node_id, "output": output, "prompt_id": context.prompt_id}
        instance.send_sync("executed", data, instance.client_id)


def progress_bar(total: int, node_id: str | None = None) -> Callable[[int, Any], None]:
    """Sets the progress bar of a node, or of the running one; call it with the steps done, and a preview or
    None."""
    bar = comfy.utils.ProgressBar(total, node_id)
    return lambda done, preview: bar.update_absolute(done, total, preview)


def stop_if_interrupted() -> None:
    """Raises ComfyUI's own exception if the user has interrupted the run."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def saves_metadata() -> bool:
    """Whether ComfyUI saves workflows in the metadata of files."""
    return not args.disable_metadata
