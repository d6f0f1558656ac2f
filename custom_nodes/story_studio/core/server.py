"""The server that the pack runs in: routes, what a running node shows, interruption, one of its flags."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import comfy.model_management
import comfy.utils
from aiohttp import web
from comfy.cli_args import args
from server import PromptServer


def add_post_route(path: str, answer: Callable[[web.Request], Awaitable[web.Response]]) -> None:
    """Lets the server answer POST requests to a path."""
    PromptServer.instance.routes.post(path)(answer)


def show_text(node_id: str, text: str) -> None:
    """Shows a text on a node until it shows another."""
    PromptServer.instance.send_progress_text(text, node_id)


def progress_bar(total: int) -> Callable[[int, Any], None]:
    """The running node's progress bar: a function of the steps done, and of a preview or None."""
    bar = comfy.utils.ProgressBar(total)
    return lambda done, preview: bar.update_absolute(done, total, preview)


def stop_if_interrupted() -> None:
    """Ends the node if the user asked for it, by ComfyUI's own exception."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def saves_metadata() -> bool:
    """Whether graphs are saved in results."""
    return not args.disable_metadata
