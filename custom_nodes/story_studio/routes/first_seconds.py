"""The route that makes the first seconds of a clip a workflow of their own, which the panel queues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from ..core import server
from ..story.first_seconds import first_seconds
from .body import answer, workflow_in

ROUTE = "/story_studio/first_seconds"
_USAGE = 'Send {"prompt": an API workflow, "clip": the id of its Clip, "seconds": more than 0} as JSON.'


def add_route() -> None:
    """Lets the server answer POST /story_studio/first_seconds."""
    server.add_post_route(ROUTE, _answer)


def _read(body: Any) -> Callable[[], Any]:
    prompt, clip, seconds = workflow_in(body), body["clip"], body["seconds"]
    if not isinstance(clip, str) or not isinstance(seconds, int | float) or not 0 < seconds < 3600:
        raise ValueError("clip")
    return lambda: first_seconds(prompt, clip, seconds)._asdict()


async def _answer(request: web.Request) -> web.Response:
    return await answer(request, _read, _USAGE)
