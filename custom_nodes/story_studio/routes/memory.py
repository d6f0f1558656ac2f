"""The route that says how the models of the latest prompt share the memory."""

from __future__ import annotations

from aiohttp import web

from .. import memory
from ..core import server

ROUTE = "/story_studio/memory"


def add_route() -> None:
    """Lets the server answer GET /story_studio/memory."""
    server.add_get_route(ROUTE, _answer)


async def _answer(_: web.Request) -> web.Response:
    latest = memory.latest()
    if latest is None:
        raise web.HTTPNotFound(text="No Still or Talking Video has run yet.")
    prompt_id, plan = latest
    return web.json_response(
        {"prompt_id": prompt_id, "plan": str(plan) if plan.needs.all else "", "keeps_all": plan.keeps_all}
    )
