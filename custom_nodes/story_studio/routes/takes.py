"""The route that gives the storyboard panel the results that a graph would find, and other takes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from ..core import server
from ..results import result_store
from ..results.look import Folder, Look, look
from ..results.origin import Origin, about_node, origin_of
from ..story.recipes import Nodes
from ..story.results import Kind, key_in
from .body import answer, text_in, workflow_in
from .checks import checks_named

ROUTE = "/story_studio/takes"
SHOWN = 24
"""The most takes that are listed of one still or clip."""
_KINDS = {kind.node: kind for kind in (Kind.STILL, Kind.CLIP)}


def add_route() -> None:
    """Lets the server answer POST /story_studio/takes."""
    server.add_post_route(ROUTE, _answer)


def takes(now_there: Look, workflow_id: str = "") -> dict[str, dict[str, Any]]:
    """The results that exist for the Stills and Clips of an API workflow, by node id.

    Args:
        now_there: what exists of the API workflow.
        workflow_id: of the workflow that it was made from, by which takes of other films are left out.

    Returns:
        `file`: the file that the node would find, as /view addresses it, or None if it would be rendered.
        `key`: the key of that result, or None.
        `own`: the key of what is linked, whatever take is chosen; None while the graph has none.
        `seed`, `prompt`: that the graph has for it now.
        `pin`: None, or of the take that is chosen its `key`; `always`, whether it holds whatever changes;
        `holds`, whether it is used; and `exists`.
        `takes`: the files with the node's name, newest first, and the one that is chosen, each with its
        `key`, `file`, `seed`, `prompt` and `date`, and a clip's with its `check`, if there is one with the
        name of a Clip or Check Clip of the workflow.
    """
    prompt = now_there.nodes
    names = [
        node["inputs"].get("name")
        for node in prompt.values()
        if node["class_type"] in (Kind.CLIP.node, Kind.CHECK.node)
    ]
    checks = checks_named(name for name in names if isinstance(name, str))
    about_nodes = {node_id: about_node(prompt, node_id) for node_id in prompt if _kind(prompt, node_id)}
    namesakes = _namesakes(prompt, about_nodes)
    taken = {(_kind(prompt, node_id), now.name) for node_id, now in about_nodes.items()}
    found = {}
    for node_id, node in prompt.items():
        if not (kind := _kind(prompt, node_id)):
            continue
        own, pin = _chosen(now_there, node_id, kind)
        path = now_there.files.get(node_id)
        films = _films(now_there, node_id, workflow_id)
        # A story that was saved and opened again is another workflow: its result says which film it is.
        films += [origin_of(path, kind).film] if films and path else []
        now = about_nodes[node_id]
        named = _named(now_there.folder(kind), kind, node["inputs"].get("name"), films, now.scene)
        named = [one for one in named if _is_of(now, namesakes[node_id], origin_of(one, kind))]
        # A scene that was renamed since still shows what it uses and what is chosen for it.
        for one in (now_there.folder(kind).find(pin["key"]) if pin else None, path):
            if one and one not in named:
                named = [one, *named, *_before_renamed(now_there.folder(kind), kind, one, taken)]
        named = list(dict.fromkeys(named))
        listed = [_take(one, kind, checks if kind is Kind.CLIP else {}) for one in named[:SHOWN]]
        file, key = (result_store.item(path), key_in(path.name)) if path else (None, None)
        about = {"file": file, "key": key, "own": own, "seed": now.seed, "prompt": now.prompt, "pin": pin}
        found[node_id] = about | {"takes": listed}
    return found


def _kind(prompt: Nodes, node_id: str) -> Kind | None:
    return _KINDS.get(prompt[node_id]["class_type"])


def _namesakes(prompt: Nodes, about: Mapping[str, Origin]) -> dict[str, list[Origin]]:
    """The Stills or Clips with the name of each, by its id: scenes may have equal titles."""
    found: dict[tuple[Kind | None, str], list[Origin]] = {}
    for node_id, now in about.items():
        found.setdefault((_kind(prompt, node_id), now.name), []).append(now)
    return {node_id: found[_kind(prompt, node_id), now.name] for node_id, now in about.items()}


def _is_of(now: Origin, namesakes: Sequence[Origin], made: Origin) -> bool:
    """Whether a result with the file name of a node is its own, and not another's.

    A file's name keeps only the Latin letters of a title. Of several nodes with the same title it is that
    with the same prompt, or with the same id.
    """

    def likeness(one: Origin) -> tuple[bool, bool]:
        return one.scene == made.scene, one.node == made.node

    return made.name in ("", now.name) and likeness(now) == max(map(likeness, namesakes))


def _before_renamed(folder: Folder, kind: Kind, file: Path, taken: Collection[Any]) -> list[Path]:
    """The takes that have the name which a scene had when this file of it was made, unless that name is
    `taken` by now."""
    was = origin_of(file, kind)
    if not was.name or (kind, was.name) in taken:
        return []
    origins = [(path, origin_of(path, kind)) for path in folder.named(file.name)]
    return [path for path, made in origins if (made.name, made.film) == (was.name, was.film)]


def _films(now_there: Look, node_id: str, workflow_id: str) -> list[str]:
    """The tags of a node's film; where links lead nowhere, its workflow's."""
    with suppress(Exception):
        return now_there.films.of(node_id, workflow_id)
    return [workflow_id] if workflow_id else []


def _take(path: Path, kind: Kind, checks: Mapping[str, Any]) -> dict[str, Any]:
    key, origin = key_in(path.name), origin_of(path, kind)
    about = {"key": key, "file": result_store.item(path), "seed": origin.seed, "prompt": origin.prompt}
    check = checks.get(key or "")
    return about | {"date": _date(path)} | ({"check": check} if check else {})


def _date(path: Path) -> str | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    except OSError:
        return None


def _read(body: Any) -> Callable[[], Any]:
    prompt, workflow = workflow_in(body), text_in(body, "workflow_id")
    return lambda: takes(look(prompt), workflow)


async def _answer(request: web.Request) -> web.Response:
    return await answer(request, _read)


def _chosen(now_there: Look, node_id: str, kind: Kind) -> tuple[str | None, dict[str, Any] | None]:
    """The own key of a node, and the take that is chosen in it.

    A graph that is not finished has no key: an input is not linked, a file is missing, or a node of another
    pack fails when it is asked about its files.
    """
    own, about = None, None
    with suppress(Exception):
        own = now_there.own(node_id)
    with suppress(Exception):
        pin, holds = now_there.pin(node_id)
        if pin:
            exists = now_there.folder(kind).find(pin.key) is not None
            about = {"key": pin.key, "always": not pin.own, "holds": holds, "exists": exists}
    return own, about


def _named(folder: Folder, kind: Kind, name: Any, films: Sequence[str], scene: str) -> list[Path]:
    """The results with a name, newest first, without those of other films' scenes.

    A scene with the same prompt in another film is the same one: there a film of the same story was made.
    """
    if not isinstance(name, str):
        return []
    files = folder.named(kind.file_name(name, ""))
    if not films:
        return files
    origins = [(path, origin_of(path, kind)) for path in files]
    return [path for path, made in origins if made.film in ("", *films) or (scene and made.scene == scene)]
