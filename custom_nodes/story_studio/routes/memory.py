"""The route that says how the models of the running prompt share the memory."""

from __future__ import annotations

from aiohttp import web

from .. import memory
from ..core import server

ROUTE = "/story_studio/memory"


def add_route() -> None:
    """Lets the server answer GET /story_studio/memory."""
    server.add_get_route(ROUTE, _answer)


async def _answer(_: web.Request) -> web.Response:
    plan = memory.current()
    # Empty until a Still or a Talking Video of the prompt has asked for the plan.
    text = str(plan) if plan else ""
    return web.json_response({"plan": text, "keeps_all": plan is None or plan.keeps_all})
