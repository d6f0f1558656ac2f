"""The route that gives the storyboard panel the scenes of the graph on the canvas."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from ..core import server
from ..story.editing import editable_panel_of
from .body import answer, workflow_in

ROUTE = "/story_studio/scenes"


def add_route() -> None:
    """Lets the server answer POST /story_studio/scenes."""
    server.add_post_route(ROUTE, _answer)


async def _answer(request: web.Request) -> web.Response:
    return await answer(request, lambda body: partial(editable_panel_of, workflow_in(body)))
