"""The route that gives the storyboard panel the scenes of the graph on the canvas."""

from __future__ import annotations

import asyncio

from aiohttp import web

from ..core import server
from ..story.editing import editable_panel_of
from ..story.problems import Problems
from .body import read_json, workflow_in

ROUTE = "/story_studio/scenes"


def add_route() -> None:
    """Lets the server answer POST /story_studio/scenes."""
    server.add_post_route(ROUTE, _answer)


async def _answer(request: web.Request) -> web.Response:
    try:
        prompt = workflow_in(await read_json(request))
    except ValueError:
        return web.json_response({"problems": ['Send {"prompt": an API workflow} as JSON.']}, status=400)
    try:
        return web.json_response(await asyncio.to_thread(editable_panel_of, prompt))
    except Problems as error:
        # With another status, browsers report that the page is broken.
        return web.json_response({"problems": [str(problem) for problem in error.problems]})
