"""The route that says how settings of the whole story are set on the nodes of the graph on the canvas."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from aiohttp import web

from ..core import server
from ..story.read_graph import read_graph
from ..story.recipes import Nodes
from ..story.schema import parse
from ..story.setting_values import SETTINGS, Setting, values_of, with_values
from .body import answer, texts_in, workflow_in
from .graph import planned

ROUTE = "/story_studio/settings"
_USAGE = (
    'Send {"prompt": an API workflow, "story": the data of its story with other settings, "settings": some '
    f'of {", ".join(SETTINGS)}, "workflows": {{path: text of a recipe}}}} as JSON.'
)


def add_route() -> None:
    """Lets the server answer POST /story_studio/settings."""
    server.add_post_route(ROUTE, _answer)


def settings_of(
    prompt: Nodes, data: Any, workflows: Mapping[str, str], settings: Collection[Setting]
) -> dict[str, Any]:
    """How a workflow comes to be that of a story with other settings: see `values_of`.

    Returns:
        `values`: each with the `id` of a node, its `input` and the `value` to set there; None if the settings
        are not all on nodes of the workflow. `then`: the data of the story that is read from the workflow
        with these values.

    Raises:
        Problems: everything that is wrong with the changed story.
    """
    values = values_of(prompt, planned("story.json", parse(data), {}, workflows).plan, settings)
    if values is None:
        return {"values": None, "then": None}
    then = read_graph(with_values(prompt, values)).data
    return {"values": [value._asdict() for value in values], "then": then}


def _read(body: Any) -> Callable[[], Any]:
    prompt, workflows = workflow_in(body), texts_in(body, "workflows")
    data, settings = body["story"], body["settings"]
    if not set(settings) <= set(SETTINGS):
        raise ValueError("settings")
    return lambda: settings_of(prompt, data, workflows, settings)


async def _answer(request: web.Request) -> web.Response:
    return await answer(request, _read, _USAGE)
