"""What the routes read from a request: JSON from anywhere, so nothing about it is certain."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ..story.links import Nodes, is_node
from ..story.numbers import loads


async def read_json(request: web.Request) -> Any:
    """The JSON in a request.

    Raises:
        ValueError: there is none, or it holds what is no number, see `loads`.
    """
    try:
        return await request.json(loads=loads)
    except (LookupError, RecursionError) as error:
        # An encoding that does not exist; nested too deeply.
        raise ValueError(str(error)) from None


def workflow_in(body: Any) -> Nodes:
    """The API workflow in `{"prompt": ...}`.

    Raises:
        ValueError: there is none.
    """
    nodes = body.get("prompt") if isinstance(body, dict) else None
    if not isinstance(nodes, dict) or not all(map(is_node, nodes.values())):
        raise ValueError("no API workflow")
    return nodes
