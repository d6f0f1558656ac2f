"""The route that says what a run of a graph would make and why, how long it takes and in what memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web

from .. import memory
from ..core import execution, server
from ..results import result_store
from ..results.look import Look, look
from ..results.origin import graph_in
from ..runs import timing
from ..story.difference import Change, What, differences, end_of
from ..story.effort import estimate
from ..story.recipes import Nodes
from ..story.results import KEEPERS, RETAKE, Kind
from .body import answer, text_in, workflow_in
from .films import films
from .takes import takes

ROUTE = "/story_studio/plan"


def add_route() -> None:
    """Lets the server answer POST /story_studio/plan."""
    server.add_post_route(ROUTE, _answer)


def plan_of(there: Look, workflow_id: str = "") -> dict[str, Any]:
    """What a run of an API workflow would make.

    Args:
        there: what exists of the API workflow.
        workflow_id: of the workflow that it was made from, by which results of other films are left out.

    Returns:
        `results`, by the ids of its Stills, Clips and Films: `kind`; `makes`, whether it would be made rather
        than reused; and if so `why`: `before`, whether there is an earlier one, and the `changes` since the
        newest (see `Change`); and `seconds`, estimated, or None where nothing like it was measured.
        `load`: seconds to read models before the first, by kind; `measured`: the number of results that the
        estimates are from, by kind; `checks`: how many Check Clips it has.
        `memory`: `needs_gb`, `free_gb`, `peak_gb`, `fits`, `keeps_all`; None if no model is needed.
    """
    found = takes(there, workflow_id)
    prompt = _without_loose_takes(there.nodes, found)
    results = {}
    for node_id, entry in found.items():
        kind, makes = KEEPERS[prompt[node_id]["class_type"]], node_id not in there.files
        results[node_id] = _result(kind, makes)
        if makes:
            earlier = (result_store.path_of(take["file"]) for take in entry["takes"])
            results[node_id]["why"] = _why(prompt, node_id, earlier)
    made = {node_id for node_id, result in results.items() if result["makes"]}
    for node_id, film in films(there, workflow_id).items():
        results[node_id] = _film(there, prompt, film, node_id, made)
    times = _times(prompt, results)
    _, plan = memory.plan_of(there.graph, there.files)
    needs = plan.needs.all
    return {
        "results": results,
        **times,
        "checks": sum(node["class_type"] == Kind.CHECK.node for node in prompt.values()),
        "memory": {
            "needs_gb": needs,
            "free_gb": plan.free_gb,
            "peak_gb": plan.peak_gb,
            "fits": plan.fits,
            "keeps_all": plan.keeps_all,
        }
        if needs
        else None,
    }


def _without_loose_takes(prompt: Nodes, found: Mapping[str, Any]) -> Nodes:
    """The workflow without the takes that have let go: what their nodes are made from is used again."""
    loose = [node_id for node_id, entry in found.items() if entry["pin"] and not entry["pin"]["holds"]]
    return prompt | {
        node_id: {**prompt[node_id], "inputs": {**prompt[node_id]["inputs"], "take": ""}} for node_id in loose
    }


def _result(kind: Kind, makes: bool) -> dict[str, Any]:
    return {"kind": kind.word, "makes": makes, "seconds": None}


def _film(
    there: Look, prompt: Nodes, film: Mapping[str, Any], node_id: str, made: set[str]
) -> dict[str, Any]:
    """A film is made if a clip of it is, or if it is not `current`, as the route of films has it; unless it
    cannot be."""
    if film["problem"]:
        return _result(Kind.FILM, False)
    try:
        upstream = result_store.upstream(there.graph, node_id)
    except execution.NodeNotFound:
        # What it is linked to is not there, so it does not run.
        return _result(Kind.FILM, True) | {"why": {"before": False, "changes": []}}
    masters = (Kind.MASTER.node, RETAKE)
    waits = any(
        one in made or (node["class_type"] in masters and one not in there.files)
        for one, node in upstream.items()
    )
    if not waits and film["state"] == "current":
        return _result(Kind.FILM, False)
    path = result_store.path_of(film["film"]["file"]) if film["film"] else None
    if path and film["changes"]:
        changes = _changes_of_film(prompt, node_id, path, film["changes"])
        return _result(Kind.FILM, True) | {"why": {"before": True, "changes": _as_dicts(changes)}}
    return _result(Kind.FILM, True) | {"why": _why(prompt, node_id, [path] if path else [])}


def _changes_of_film(
    prompt: Nodes, node_id: str, earlier: Path, lacks: Mapping[str, Any]
) -> Iterator[Change]:
    """What an old film lacks, as the route of films has it; of its settings, which ones.

    Its graph alone would not do: where a scene was added, each is followed by another one.
    """
    scenes: Sequence[tuple[What, str]] = (
        ("scenes", "scenes"),
        ("new scenes", "added"),
        ("gone scenes", "removed"),
    )
    yield from (Change(what, str(len(lacks[name]))) for what, name in scenes if lacks[name])
    if lacks["order"]:
        yield Change("order")
    if lacks["settings"]:
        yield from _changes(_without_scenes(graph_in(earlier)), _without_scenes(prompt), node_id)


def _without_scenes(nodes: Nodes) -> Nodes:
    return {
        node_id: {**node, "inputs": {**node["inputs"], "film": None}}
        if node["class_type"] == Kind.FILM.node
        else node
        for node_id, node in nodes.items()
    }


def _why(prompt: Nodes, node_id: str, earlier: Iterable[Path]) -> dict[str, Any]:
    for path in earlier:
        with suppress(OSError):
            path.stat()
            return {"before": True, "changes": _as_dicts(_changes(graph_in(path), prompt, node_id))}
    return {"before": False, "changes": []}


def _as_dicts(changes: Iterable[Change]) -> list[dict[str, str]]:
    return [change._asdict() for change in changes]


def _changes(earlier: Nodes, prompt: Nodes, node_id: str) -> list[Change]:
    """What changed since; empty also where the earlier graph does not say what it was made from."""
    end = end_of(earlier, prompt[node_id]["class_type"])
    return differences(earlier, prompt, (end, node_id), result_store.default_of) if end else []


def _times(prompt: Nodes, results: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Sets the seconds of each result that is made, and returns what they are from."""
    load, measured = {}, {}
    taken = timing.taken() if any(result["makes"] for result in results.values()) else {}
    for kind in timing.MEASURED:
        wanted = [node for node, result in results.items() if result["kind"] == kind.word and result["makes"]]
        efforts = [timing.effort_of(prompt, node) for node in wanted]
        found = estimate(efforts, taken.get(kind.word, []))
        for node, seconds in zip(wanted, found.each, strict=True):
            results[node]["seconds"] = seconds
        load[kind.word], measured[kind.word] = found.first, found.measured
    return {"load": load, "measured": measured}


def _read(body: Any) -> Callable[[], Any]:
    prompt, workflow = workflow_in(body), text_in(body, "workflow_id")
    return lambda: plan_of(look(prompt), workflow)


async def _answer(request: web.Request) -> web.Response:
    return await answer(request, _read)
