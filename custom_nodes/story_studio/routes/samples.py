"""The route that brings the examples' files into the input folder."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from ..core import samples, server

ROUTE = "/story_studio/samples"


def add_route() -> None:
    """Lets the server answer POST /story_studio/samples, with the names of the files that it has copied."""
    server.add_post_route(ROUTE, _answer)


async def _answer(_: web.Request) -> web.Response:
    try:
        added = await asyncio.to_thread(samples.add_missing)
    except OSError as error:
        # The page works without them: an example then names files that are yet to be chosen.
        logging.warning("Story Studio could not copy the examples' files into the input folder: %s", error)
        added = []
    return web.json_response({"added": added})
