"""What the routes read from a request, JSON from anywhere, so nothing about it is certain; their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from ..story.links import Nodes, is_node
from ..story.numbers import loads
from ..story.problems import Problems

WORKFLOW_USAGE = 'Send {"prompt": an API workflow} as JSON.'


async def answer(
    request: web.Request, read: Callable[[Any], Callable[[], Any]], usage: str = WORKFLOW_USAGE
) -> web.Response:
    """The answer to a request, as JSON: what its work returns, or `problems`, sentences.

    Args:
        read: returns the work that the request's JSON asks for, which is done in a thread. Raises ValueError,
            KeyError, TypeError or AttributeError for anything else.
        usage: what to send instead then; the status is 400.
    """
    try:
        work = read(await _read_json(request))
    except (ValueError, KeyError, TypeError, AttributeError):
        return web.json_response({"problems": [usage]}, status=400)
    try:
        return web.json_response(await asyncio.to_thread(work))
    except Problems as error:
        # With another status, browsers report that the page is broken.
        return web.json_response({"problems": [str(problem) for problem in error.problems]})


async def _read_json(request: web.Request) -> Any:
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


def texts_in(body: Any, name: str) -> dict[str, str]:
    """The texts by their names that a request may have; none without them.

    Raises:
        ValueError: they are something else.
    """
    value = body.get(name, {})
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError(name)
    return value


def text_in(body: Any, name: str) -> str:
    """A text that a request may have; empty without it.

    Raises:
        ValueError: it is none.
    """
    value = body.get(name)
    if not isinstance(value, str | None):
        raise ValueError(name)
    return value or ""
