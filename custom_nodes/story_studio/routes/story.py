"""The route that turns the graph on the canvas into a story file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from ..core import server
from ..story.problems import Problems
from ..story.read_graph import read_graph
from ..story.recipes import Nodes
from .body import read_json, workflow_in

ROUTE = "/story_studio/story"
_USAGE = 'Send {"prompt": an API workflow, "keys": {node id: key of its still}} as JSON.'


def add_route() -> None:
    """Lets the server answer POST /story_studio/story."""
    server.add_post_route(ROUTE, _answer)


def story_of(prompt: Nodes, keys: Mapping[str, str]) -> dict[str, Any]:
    """The story file of a workflow.

    Args:
        prompt: an API workflow.
        keys: the keys of the stills that exist, by node id.

    Returns:
        `name` and `text`, the story file's; `warnings`, sentences.

    Raises:
        Problems: the workflow has no scenes, or is too large.
    """
    file = read_graph(prompt, keys)
    text = json.dumps(file.data, indent=2, ensure_ascii=False)
    return {"name": f"{file.data['project_id']}.json", "text": text, "warnings": file.warnings}


async def _answer(request: web.Request) -> web.Response:
    try:
        body = await read_json(request)
        prompt, keys = workflow_in(body), body["keys"]
        if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys.values()):
            raise ValueError("keys")
    except (ValueError, KeyError):
        return web.json_response({"problems": [_USAGE]}, status=400)
    try:
        return web.json_response(await asyncio.to_thread(story_of, prompt, keys))
    except Problems as error:
        # With another status, browsers report that the page is broken.
        return web.json_response({"problems": [str(problem) for problem in error.problems]})
