"""The route that says what is rendered from a workflow on a canvas, for a page that has missed the events."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from ..core import progress, queue, server
from ..core.queue import Ended, Item
from ..runs import continuing, finished

ROUTE = "/story_studio/runs"
_LATEST = 50
"""How many ended prompts are looked through."""


def add_route() -> None:
    """Lets the server answer GET /story_studio/runs."""
    server.add_get_route(ROUTE, _answer)


def runs(workflow: str) -> list[dict[str, Any]]:
    """The prompts of a workflow from a canvas, in the order of their ends: ended, running, waiting.

    Args:
        workflow: its id.

    Returns:
        each with its `id`, the `client` that queued it, its `state` (waiting, running, success, error or
        interrupted), the results that it is to make (`wanted`), `failed`, why nodes failed, by their ids,
        and `earlier`, the ids of prompts that it continues; one that runs or has ended, with what its nodes
        have shown (`outputs`), and when it `started`, in milliseconds; and one that runs, with `active`, how
        far its running nodes are.
    """
    found = [_ended(one) for one in queue.ended(_LATEST) if _is_of(one.item, workflow)]
    item = queue.running()
    # It may be in both for a moment.
    if item and _is_of(item, workflow) and item.id not in [one["id"] for one in found]:
        prompt_id, nodes = progress.running()
        active = {one.node: one.value / one.max if one.max > 1 else 0 for one in nodes}
        found.append(
            _about(item, "running")
            | {"active": active if prompt_id == item.id else {}, "outputs": finished.outputs(item.id)}
            | {"started": finished.started(item.id)}
        )
    return [*found, *(_about(one, "waiting") for one in queue.waiting() if _is_of(one, workflow))]


def _ended(one: Ended) -> dict[str, Any]:
    about = _about(one.item, one.status)
    if failed := one.error.get("node_id"):
        about["failed"] = {**about["failed"], failed: str(one.error.get("exception_message", "")).strip()}
    shown = {node: output for node, output in one.outputs.items() if node in about["wanted"]}
    return about | {"outputs": shown, "started": one.started}


def _about(item: Item, state: str) -> dict[str, Any]:
    ours = continuing.about_of(item.extra_data)
    return {
        "id": item.id,
        "client": item.extra_data.get("client_id"),
        "state": state,
        "wanted": continuing.wanted(item),
        # A program may have posted anything in their place.
        "failed": failed if isinstance(failed := ours.get("failed"), dict) else {},
        "earlier": earlier if isinstance(earlier := ours.get("earlier"), list) else [],
    }


def _is_of(item: Item, workflow: str) -> bool:
    pnginfo = item.extra_data.get("extra_pnginfo")
    found = pnginfo.get("workflow") if isinstance(pnginfo, dict) else None
    return isinstance(found, dict) and found.get("id") == workflow


async def _answer(request: web.Request) -> web.Response:
    # Long prompts take tenths of a second, in which the server has others to answer.
    return web.json_response(await asyncio.to_thread(runs, request.query.get("workflow", "")))
