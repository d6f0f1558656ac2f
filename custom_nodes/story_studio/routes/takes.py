"""The route that gives the storyboard panel the results that a graph would find, and other takes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from .. import result_store
from ..core import execution, server
from ..story.results import Kind, key_in
from .body import read_json, workflow_in
from .checks import checks_named

ROUTE = "/story_studio/takes"
SHOWN = 24
"""The most takes that are listed of one still or clip."""
_KINDS = {kind.node: kind for kind in (Kind.STILL, Kind.CLIP)}


def add_route() -> None:
    """Lets the server answer POST /story_studio/takes."""
    server.add_post_route(ROUTE, _answer)


async def takes(prompt: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The results that exist for the Stills and Clips of an API workflow, by node id.

    Returns:
        `file`: the file that the node would find, as /view addresses it, or None if it would be rendered.
        `key`: the key of that result, or None.
        `takes`: the files with the node's name, newest first, each with its `key` and `file`, and a clip's
        with its `check`, if there is one with the name of a Clip or Check Clip of the workflow.
    """
    graph = execution.make_graph(prompt)
    names = [
        node["inputs"].get("name")
        for node in prompt.values()
        if node["class_type"] in (Kind.CLIP.node, Kind.CHECK.node)
    ]
    checks = checks_named(name for name in names if isinstance(name, str))
    found = {}
    for node_id, node in prompt.items():
        if node["class_type"] not in _KINDS:
            continue
        kind = _KINDS[node["class_type"]]
        path = await _find(graph, node_id, kind)
        named = _named(kind, node["inputs"].get("name"))
        if path and path not in named:
            named.insert(0, path)
        listed = [_take(one, checks if kind is Kind.CLIP else {}) for one in named[:SHOWN]]
        file, key = (result_store.item(path), key_in(path.name)) if path else (None, None)
        found[node_id] = {"file": file, "key": key, "takes": listed}
    return found


def _take(path: Path, checks: Mapping[str, Any]) -> dict[str, Any]:
    key = key_in(path.name)
    check = checks.get(key or "")
    return {"key": key, "file": result_store.item(path)} | ({"check": check} if check else {})


async def _answer(request: web.Request) -> web.Response:
    try:
        prompt = workflow_in(await read_json(request))
    except ValueError:
        return web.Response(status=400, text='Send {"prompt": an API workflow} as JSON.')
    return web.json_response(await asyncio.to_thread(asyncio.run, takes(prompt)))


async def _find(graph: execution.DynamicPrompt, node_id: str, kind: Kind) -> Path | None:
    try:
        if not graph.get_node(node_id)["inputs"].get("take"):
            await execution.ask_fingerprints(graph, list(result_store.upstream(graph, node_id)))
        return result_store.find(kind, result_store.key_of(graph, node_id))
    except Exception:
        # A graph that is not finished has no key: an input is not linked, a file is missing, or a node of
        # another pack fails when it is asked about its files.
        return None


def _named(kind: Kind, name: Any) -> list[Path]:
    if not isinstance(name, str):
        return []
    pattern = result_store.place(kind, name, "*")
    dated = []
    for path in pattern.parent.glob(pattern.name):
        try:
            dated.append((path.stat().st_mtime_ns, path))
        except OSError:
            # It was deleted, or is a broken link.
            continue
    return [path for _, path in sorted(dated, reverse=True) if key_in(path.name)]
