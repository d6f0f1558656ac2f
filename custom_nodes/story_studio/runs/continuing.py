"""A failed scene affects only that scene, also where a workflow is queued from the canvas.

The driver leaves a scene that failed out and submits the rest. A canvas submits once, so the pack does it
here: what ComfyUI would refuse is left out of the prompt before it is validated, and after a node fails, the
rest is queued again in the place of the prompt that ended.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import OrderedDict
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..core import execution, expansion, prompts, queue, tasks
from ..core.prompts import Request
from ..core.queue import Ended, Item
from ..results import result_store
from ..story.failures import ran_out_of_memory, says_disk_full
from ..story.left_out import Remaining, leave_out
from ..story.links import title_of
from ..story.order import QUEUED, RESULTS, Ordered, in_order, topological
from ..story.recipes import Nodes
from ..story.refusals import reason_of
from ..story.results import Kind
from . import finished

ABOUT = "story_studio"
"""The part of a prompt's `extra_data` that is the pack's."""
_KEPT = 100
"""How many prompts are remembered until they end; one that was removed from the queue never does."""
_PARTS = (Kind.STILL.node, Kind.CLIP.node)
_NOT_CONTINUED = "the scenes after the one that failed are not rendered: queue the workflow again."


@dataclass
class _Run:
    """A prompt from a canvas, with what its predecessors have shown.

    Attributes:
        request: the prompt before it was ordered, without what was lost.
        failed: why nodes failed, by their ids.
        retried: the nodes that were tried again with all memory freed.
        earlier: the ids of the prompts that it continues.
        is_followed: whether its end is waited for.
    """

    request: Request
    failed: dict[str, str] = field(default_factory=dict)
    retried: list[str] = field(default_factory=list)
    earlier: list[str] = field(default_factory=list)
    is_followed: bool = False

    def about(self) -> dict[str, Any]:
        """What is kept with the prompt, for a page that did not queue it, or after a reload."""
        return {
            "leave_out_failed": True,
            "failed": self.failed,
            "earlier": self.earlier,
        }


_runs: OrderedDict[str, _Run] = OrderedDict()
"""By the id that `in_order` was given. Prompts that run or wait."""


def order(request: Request) -> Ordered | None:
    """A prompt as it is to run: in order, and from a canvas without scenes that ComfyUI would refuse."""
    if not leaves_out_failed(request):
        return in_order(request.nodes, request.outputs, request.queued)
    ordered = in_order(request.nodes, request.outputs, request.queued, fewest=1)
    if ordered is None:
        return None
    rest = Remaining(request.nodes, request.outputs, set())
    if wrong := prompts.refused(ordered):
        rest = leave_out(request.nodes, request.outputs, wrong)
        shortened = _without_lost(request, ordered, rest, wrong)
        if shortened is None:
            return ordered
        ordered = shortened
    run = _Run(
        request._replace(nodes=rest.nodes, outputs=rest.outputs),
        {node: reason_of(errors) for node, errors in wrong.items()},
    )
    request.extra_data[ABOUT] = run.about()
    _remember(run)
    return ordered


def _without_lost(
    request: Request, ordered: Ordered, rest: Remaining, wrong: Collection[str]
) -> Ordered | None:
    """What is left of a prompt, in order; None where ComfyUI has to refuse the whole of it."""
    # A film alone may have been queued, which does not fail with the clip of a scene.
    lost = [
        node
        for node, content in request.nodes.items()
        if node in rest.lost and (node in request.outputs or content["class_type"] in RESULTS)
    ]
    shortened = in_order(_joined(rest, ordered), rest.outputs, request.queued, fewest=1)
    if shortened is None:
        # What is left saves something else.
        shortened = Ordered(_joined(rest, ordered), rest.outputs) if rest.outputs else None
    # ComfyUI refuses the targets that are lost, says why, and runs the others. It reports only what it finds
    # upstream of a target.
    if shortened is None or not set(wrong).issubset(topological(ordered.nodes, lost)):
        return None
    return Ordered(shortened.nodes, [*shortened.targets, *lost])


def leaves_out_failed(request: Request) -> bool:
    """Whether scenes that fail are left out of a prompt: if it is from a canvas, or if it says so."""
    about = about_of(request.extra_data)
    if "leave_out_failed" in about:
        return about["leave_out_failed"] is True
    pnginfo = request.extra_data.get("extra_pnginfo")
    has_canvas = isinstance(pnginfo, dict) and isinstance(pnginfo.get("workflow"), dict)
    return has_canvas and request.is_from_page


def about_of(extra_data: dict[str, Any]) -> dict[str, Any]:
    """The pack's part of what was sent along with a prompt; empty if there is none, or anything else."""
    about = extra_data.get(ABOUT)
    return about if isinstance(about, dict) else {}


def follow(queued: str) -> None:
    """Continues the running prompt without the scene that fails, if one does. Call it within a node.

    ComfyUI runs the In Order node that calls this before all nodes that others are linked to.
    """
    finished.begin(execution.prompt_id())
    run = _runs.get(queued)
    item = queue.running()
    if run is None or run.is_followed or item is None or item.id != execution.prompt_id():
        return
    run.is_followed = True
    expansion.when_prompt_ends(lambda: tasks.soon(lambda: _continue(item, run), _NOT_CONTINUED))


def _remember(run: _Run) -> None:
    _runs[run.request.queued] = run
    while len(_runs) > _KEPT:
        _runs.popitem(last=False)


def _joined(rest: Remaining, ordered: Ordered) -> Nodes:
    """What is left, and what is lost as it was ordered: ComfyUI would go through the whole of a chain."""
    others = {
        node: content
        for node, content in ordered.nodes.items()
        if node in rest.lost or (node not in rest.nodes and QUEUED not in content["inputs"])
    }
    return {**rest.nodes, **others}


async def _continue(item: Item, run: _Run) -> None:
    _runs.pop(run.request.queued, None)
    ended = await queue.end_of(item.id)
    failed = ended.error.get("node_id") if ended else None
    if ended is None or failed not in run.request.nodes or says_disk_full(_message(ended)):
        return
    # Whether files have changed is read from them: the server has others to answer meanwhile.
    rest = await asyncio.to_thread(_rest, run, failed, ended)
    if rest is None:
        return
    rest.earlier.append(item.id)
    nodes, outputs, queued = rest.request.nodes, rest.request.outputs, rest.request.queued
    ordered = in_order(nodes, outputs, queued, fewest=1) or Ordered(nodes, list(outputs))
    # ComfyUI may run it as soon as it is queued.
    _remember(rest)
    prompt_id = str(uuid.uuid4())
    if not await queue.queue_again(item, prompt_id, ordered, {**item.extra_data, ABOUT: rest.about()}):
        _runs.pop(queued, None)
        logging.error("Story Studio: %s", _NOT_CONTINUED)
        return
    ended.item.extra_data[ABOUT] = {**about_of(ended.item.extra_data), "followed_by": prompt_id}
    title = title_of(run.request.nodes[failed]) or failed
    logging.info("Story Studio: %s failed; the rest of the workflow is rendered without it.", title)


def _rest(run: _Run, failed: str, ended: Ended) -> _Run | None:
    """What is left to be made after a node failed; None if that is nothing."""
    request, reason = run.request, _message(ended).strip()
    kind = str(ended.error.get("exception_type", ""))
    left, known = request._replace(queued=uuid.uuid4().hex), run.failed
    if ran_out_of_memory(kind, reason) and failed not in run.retried:
        queue.free_memory()
        return _Run(left, known, [*run.retried, failed], list(run.earlier))
    existing = result_store.finished(execution.make_graph(request.nodes))
    rest = leave_out(request.nodes, request.outputs, [failed], existing)
    if existing.issuperset(rest.outputs) or _is_shared(request, rest, existing):
        return None
    left = left._replace(nodes=rest.nodes, outputs=rest.outputs)
    return _Run(left, {**known, failed: reason}, list(run.retried), list(run.earlier))


def _is_shared(request: Request, rest: Remaining, existing: set[str]) -> bool:
    """Whether all scenes that are not finished are lost with a node, such as a loader: no scene's fault."""
    classes = [request.nodes[node]["class_type"] for node in rest.lost]
    left = [
        node for node in rest.outputs if request.nodes[node]["class_type"] in _PARTS and node not in existing
    ]
    return not left and any(classes.count(part) > 1 for part in _PARTS)


def _message(ended: Ended) -> str:
    return str(ended.error.get("exception_message", ""))


_wanted: OrderedDict[tuple[Any, ...], list[str]] = OrderedDict()
"""What prompts want, which pages ask again and again while they run, and of those that have ended."""


def wanted(item: Item) -> list[str]:
    """The results that a prompt makes, or finds, in the order in which it does."""
    # A program may use an id twice.
    asked = (item.id, len(item.nodes), *sorted(item.targets))
    found = _wanted.get(asked)
    if found is None:
        upstream = topological(item.nodes, item.targets)
        found = [node for node in upstream if item.nodes[node]["class_type"] in RESULTS]
        _wanted[asked] = found
        # Several threads ask.
        with suppress(KeyError):
            while len(_wanted) > _KEPT:
                _wanted.popitem(last=False)
    return found
