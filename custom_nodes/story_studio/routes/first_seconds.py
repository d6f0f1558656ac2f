"""The route that makes the first seconds of a clip a workflow of their own, which the panel queues."""

from __future__ import annotations

import asyncio

from aiohttp import web

from ..core import server
from ..story.first_seconds import first_seconds
from ..story.problems import Problems
from .body import read_json, workflow_in

ROUTE = "/story_studio/first_seconds"
_USAGE = 'Send {"prompt": an API workflow, "clip": the id of its Clip, "seconds": more than 0} as JSON.'


def add_route() -> None:
    """Lets the server answer POST /story_studio/first_seconds."""
    server.add_post_route(ROUTE, _answer)


async def _answer(request: web.Request) -> web.Response:
    try:
        body = await read_json(request)
        prompt, clip, seconds = workflow_in(body), body["clip"], body["seconds"]
        if not isinstance(clip, str) or not isinstance(seconds, int | float) or not 0 < seconds < 3600:
            raise ValueError("clip")
    except (ValueError, KeyError):
        return web.json_response({"problems": [_USAGE]}, status=400)
    try:
        shortened = await asyncio.to_thread(first_seconds, prompt, clip, seconds)
        return web.json_response(shortened._asdict())
    except Problems as error:
        # With another status, browsers report that the page is broken.
        return web.json_response({"problems": [str(problem) for problem in error.problems]})
