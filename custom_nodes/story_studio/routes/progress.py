"""The route that says how far the latest prompt is, for clients that have no websocket."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ..core import progress, server
from ..runs import finished

ROUTE = "/story_studio/progress"


def add_route() -> None:
    """Lets the server answer GET /story_studio/progress."""
    server.add_get_route(ROUTE, _answer)


async def _answer(_: web.Request) -> web.Response:
    """The messages, as ComfyUI's websocket sends them, that tell all about the latest prompt."""
    prompt_id, running = progress.running()
    about: dict[str, Any] = {"prompt_id": prompt_id}
    messages = [
        {"type": "executed", "data": {**about, "node": node, "output": output}}
        for node, output in finished.outputs(prompt_id).items()
    ]
    # Only one of those that run at the same time, or each request would find that another has begun.
    messages += [{"type": "executing", "data": {**about, "node": one.node}} for one in running[:1]]
    states = {
        one.node: {"state": "running", "value": one.value, "max": one.max, "node_id": one.node}
        for one in running
    }
    messages += [{"type": "progress_state", "data": {**about, "nodes": states}}] if states else []
    return web.json_response(messages)
