"""The routes of the film: whether it is there and up to date, its captions, and a folder of all results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Set
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from ..core import execution, server
from ..media.finished_film import FilmFacts, read_facts
from ..results import made_films, result_store
from ..results.look import Look, look
from ..results.made_films import MadeFrom
from ..results.origin import graph_in
from ..story.difference import end_of
from ..story.editing import circles_in
from ..story.recipes import Nodes, is_link
from ..story.results import Kind, key_in
from ..story.scenes import Workflow
from ..story.subtitles import subtitles
from .body import answer, text_in, workflow_in

ROUTE = "/story_studio/films"
CAPTIONS = "/story_studio/captions"
_FORMATS = {"srt": "application/x-subrip", "vtt": "text/vtt"}
_OLDER = 20
"""How many earlier films with the name of a Film are looked at."""


def add_route() -> None:
    """Lets the server answer POST /story_studio/films and GET /story_studio/captions."""
    server.add_post_route(ROUTE, _answer)
    server.add_get_route(CAPTIONS, _answer_captions)


def films(there: Look, workflow: str) -> dict[str, dict[str, Any]]:
    """The films of an API workflow, by the ids of their Film nodes.

    Args:
        there: what exists of the API workflow.
        workflow: the id of the workflow on the canvas.

    Returns:
        `state`: `missing`, `old` (an earlier film is there) or `current`.
        `film`: of a film that is there, its `file` as /view addresses it, its `key`, `date` (ISO), `bytes`,
        `seconds`, `width`, `height`, `fps`, `codec`; `chapters`, each with `title`, `start` and `end` in
        seconds; `captions`, their languages; else None.
        `changes`: what an old film lacks, see `_changes`.
        `problem`: why it cannot be made: `no scenes` lead to it, or they lead in a `circle`; else None.
    """
    ids = [node_id for node_id, node in there.nodes.items() if node["class_type"] == Kind.FILM.node]
    if not ids:
        return {}
    folder = there.folder(Kind.FILM)
    circles = circles_in(Workflow(there.nodes))
    problems = {node_id: _problem(there, node_id, circles) for node_id in ids}
    made_from = {
        node_id: None if problems[node_id] else _made_from(there, node_id, workflow) for node_id in ids
    }
    current = {
        node_id: path for node_id, now in made_from.items() if now and (path := made_films.find(now, folder))
    }
    found: dict[str, dict[str, Any]] = {}
    taken = frozenset(current.values())
    for node_id, now in made_from.items():
        if node_id in current:
            state, path, changes = "current", current[node_id], None
        else:
            name = there.nodes[node_id]["inputs"].get("name")
            named = folder.named(Kind.FILM.file_name(name, "")) if isinstance(name, str) else []
            # Two films of one workflow may have one name.
            others = frozenset(ids) - {node_id}
            earlier = _earlier([one for one in named if one not in taken], workflow, now, others)
            state, path, changes = _compared(earlier, now)
        film = _shown(path) if path else None
        found[node_id] = {"state": state, "film": film, "changes": changes}
        found[node_id] |= {"clips": _clips(there.nodes, node_id), "problem": problems[node_id]}
    return found


def _made_from(there: Look, node_id: str, workflow: str) -> MadeFrom | None:
    """What a film is made from; None if its graph is not finished: an input not linked, a file missing."""
    try:
        return made_films.made_from(there.graph, node_id, workflow, there.keys)
    except Exception:
        return None


def _compared(
    earlier: tuple[Path, MadeFrom | None] | None, now: MadeFrom | None
) -> tuple[str, Path | None, dict[str, Any] | None]:
    """The state of a film of which only an earlier one is there, that one, and what it lacks."""
    if earlier is None:
        return "missing", None, None
    path, made = earlier
    if now and made and made.key == now.key:
        # A film of an earlier version, of which nothing was noted.
        return "current", path, None
    return "old", path, _changes(made, now) if now and made else None


def _problem(there: Look, node_id: str, circles: set[str]) -> str | None:
    """Why a film cannot be made, whatever else is finished."""
    if not made_films.scenes_of(there.nodes, node_id):
        return "no scenes"
    try:
        upstream = result_store.upstream(there.graph, node_id)
    except execution.NodeNotFound:
        return None
    return None if circles.isdisjoint(upstream) else "circle"


def _clips(prompt: Nodes, node_id: str) -> list[str]:
    """The Clips of the film's scenes, in order; empty for a scene that has another source."""
    return [
        _clip_of(prompt, prompt[scene]["inputs"].get("clip"))
        for scene in made_films.scenes_of(prompt, node_id)
    ]


def _clip_of(prompt: Nodes, link: Any) -> str:
    for _ in range(8):
        if not is_link(link) or link[0] not in prompt:
            return ""
        node = prompt[link[0]]
        if node["class_type"] == Kind.CLIP.node:
            return link[0]
        link = node["inputs"].get("clip")
    return ""


def _earlier(
    named: list[Path], workflow: str, now: MadeFrom | None, others: Set[str]
) -> tuple[Path, MadeFrom | None] | None:
    """The newest of some films that is not known to be of another story or node, and what it was made from.

    Args:
        named: the films, the newest first.
        workflow, now: of the film that is looked for.
        others: the ids of the other Films of the workflow.
    """
    for path in named[:_OLDER]:
        for made in made_films.made_of(key_in(path.name) or "") or [_in_file(path)]:
            if made is None:
                return path, None
            is_others = bool(workflow) and made.workflow == workflow and made.node in others
            if not is_others and _is_of(made, workflow, now):
                return path, made
    return None


def _is_of(made: MadeFrom, workflow: str, now: MadeFrom | None) -> bool:
    if not workflow or not made.workflow or made.workflow == workflow:
        return True
    return bool(now) and not {shot[1] for shot in made.shots}.isdisjoint(shot[1] for shot in now.shots)


def _in_file(path: Path) -> MadeFrom | None:
    """What the graph in a film's file makes it from today; None if there is none, or it no longer runs."""
    nodes = graph_in(path)
    end = end_of(nodes, Kind.FILM.node)
    try:
        workflow = read_facts(path).workflow
        return made_films.made_from(execution.make_graph(nodes), end, workflow) if end else None
    except Exception:
        return None


def _changes(made: MadeFrom, now: MadeFrom) -> dict[str, Any]:
    """How the story differs from that of a film.

    Returns:
        `scenes`: the indexes of its scenes whose clip or settings differ; `added`: of those that are new;
        `removed`: the titles of those that are gone; `order`: whether the rest stands in another order;
        `settings`: whether the film's own differ.
    """
    left = list(range(len(made.shots)))
    pairs: dict[int, int] = {}
    # The same clip first: titles may be equal, or changed.
    for part in (1, 0):
        for index, shot in enumerate(now.shots):
            same = next((old for old in left if made.shots[old][part] == shot[part]), None)
            if index not in pairs and same is not None:
                pairs[index] = same
                left.remove(same)
    matched = [pairs[index] for index in sorted(pairs)]
    return {
        "scenes": [
            index for index, old in sorted(pairs.items()) if made.shots[old][1:] != now.shots[index][1:]
        ],
        "added": [index for index in range(len(now.shots)) if index not in pairs],
        "removed": [made.shots[old][0] for old in left],
        "order": matched != sorted(matched),
        "settings": made.settings != now.settings and made.any_size != now.any_size,
    }


def _shown(path: Path) -> dict[str, Any]:
    about, facts = path.stat(), read_facts(path)
    return {
        "file": result_store.item(path),
        "key": key_in(path.name),
        "date": datetime.fromtimestamp(about.st_mtime, UTC).isoformat(timespec="seconds"),
        "bytes": about.st_size,
        "seconds": round(facts.seconds, 3),
        "width": facts.width,
        "height": facts.height,
        "fps": facts.fps,
        "codec": facts.codec,
        "chapters": [*_chapters(facts)],
        "captions": list(facts.captions),
    }


def _chapters(facts: FilmFacts) -> Iterator[dict[str, Any]]:
    for start, end, title in facts.chapters:
        yield {"title": title, "start": round(start, 3), "end": round(end, 3)}


def _read(body: Any) -> Callable[[], Any]:
    prompt, workflow = workflow_in(body), text_in(body, "workflow")
    return lambda: films(look(prompt), workflow)


async def _answer(request: web.Request) -> web.Response:
    return await answer(request, _read)


def captions(query: Mapping[str, str]) -> web.Response:
    """The captions of the film with the `key` in the query, in its `language`, as `format` srt or vtt."""
    path = result_store.find(Kind.FILM, query.get("key", ""))
    suffix, language = query.get("format", "vtt"), query.get("language", "")
    cues = read_facts(path).captions.get(language) if path else None
    if cues is None or suffix not in _FORMATS:
        raise web.HTTPNotFound(text="There is no film with this key, or it has no captions in this language.")
    name = ".".join(filter(None, (path.stem if path else "", language, suffix)))
    kind = "attachment" if query.get("download") else "inline"
    headers = {"Content-Disposition": f'{kind}; filename="{name}"'}
    return web.Response(
        text=subtitles(cues, suffix), content_type=_FORMATS[suffix], charset="utf-8", headers=headers
    )


async def _answer_captions(request: web.Request) -> web.Response:
    return await asyncio.to_thread(captions, request.query)
