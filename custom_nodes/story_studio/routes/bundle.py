"""The route that packs what is finished of a story on the canvas into one ZIP file."""

from __future__ import annotations

import re
import shutil
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web

from ..core import folders, server
from ..files import written_aside
from ..media.finished_film import read_facts
from ..results import result_store
from ..results.look import Look, look
from ..story.problems import Problem, Problems
from ..story.recipes import Nodes
from ..story.results import STORE, key_in
from ..story.scenes import Workflow, panel_of
from ..story.subtitles import subtitles
from .body import answer, text_in, workflow_in
from .films import films
from .story import story_of

ROUTE = "/story_studio/bundle"
_BUNDLE = "bundle_"
"""The start of the name of each folder with a ZIP file."""
_KEPT_SECONDS = 3600
PARTS = ("film", "captions", "story", "stills", "clips")
_USAGE = (
    f'Send {{"prompt": an API workflow, "film": a node id, "parts": some of {", ".join(PARTS)}}} as JSON.'
)


def add_route() -> None:
    """Lets the server answer POST /story_studio/bundle."""
    server.add_post_route(ROUTE, _answer)


class Entry(NamedTuple):
    """A file of the bundle: its name there, and its content or where that is."""

    name: str
    content: Path | str


class Bundle(NamedTuple):
    """What goes into a bundle.

    Attributes:
        name: of its file, without suffix.
        entries: its files.
        missing: the names of scenes that are not rendered.
        is_old: whether the film in it is an earlier one.
    """

    name: str
    entries: list[Entry]
    missing: list[str]
    is_old: bool


def bundle_of(there: Look, workflow: str, film_id: str, parts: list[str]) -> Bundle:
    """What there is of these parts of a story.

    Raises:
        Problems: the workflow has no scenes, or is too large.
    """
    scenes = panel_of(Workflow(there.nodes))["scenes"]
    found = films(there, workflow)
    film = found.get(film_id, {"state": "missing", "film": None})
    if len(found) > 1 and film_id in found:
        scenes = [scene for scene in scenes if scene["clip"] in film["clips"]]
    entries, missing = [], dict[str, None]()
    path = result_store.path_of(film["film"]["file"]) if film["film"] else None
    if path and "film" in parts:
        entries.append(Entry("film.mp4", path))
    if path and "captions" in parts:
        entries += _captions(path)
    for number, scene in enumerate(scenes, 1):
        for part, suffix in (("still", "png"), ("clip", "mp4")):
            if f"{part}s" not in parts or not scene[part]:
                continue
            if file := there.files.get(scene[part]):
                entries.append(Entry(f"{part}s/{_name(number, scene['name'])}.{suffix}", file))
            else:
                missing[f"{number}. {scene['name']}".strip()] = None
    name = _safe(str(there.nodes.get(film_id, {}).get("inputs", {}).get("name") or "story"))
    if "story" in parts:
        keys = {node: key for node, file in there.files.items() if (key := key_in(file.name))}
        story = story_of(there, keys)
        name = story["name"].removesuffix(".json")
        entries.append(Entry("story.json", story["text"]))
    return Bundle(name, entries, list(missing), film["state"] == "old" and "film" in parts)


def _captions(film: Path) -> Iterator[Entry]:
    for language, cues in read_facts(film).captions.items():
        for suffix in ("srt", "vtt"):
            yield Entry(".".join(filter(None, ("film", _safe(language), suffix))), subtitles(cues, suffix))


def _name(number: int, name: str) -> str:
    return f"{number:03}-{_safe(name)}".rstrip("-")


def _safe(name: str) -> str:
    return re.sub(r"[^\w-]+", "-", name).strip("-")[:64]


def pack(entries: list[Entry], target: Path) -> None:
    """Writes a ZIP file. Nothing is compressed: video and images are already."""
    with written_aside(target) as aside, zipfile.ZipFile(aside, "w") as archive:
        for name, content in entries:
            if isinstance(content, Path):
                archive.write(content, name)
            else:
                # A text of the workflow may hold half a character.
                archive.writestr(name, content.encode(errors="replace"))


def _read(body: Any) -> Callable[[], Any]:
    prompt, parts = workflow_in(body), body["parts"]
    workflow, film_id = text_in(body, "workflow"), text_in(body, "film")
    if not isinstance(parts, list) or not set(parts) <= set(PARTS):
        raise ValueError("parts")
    return lambda: _work(prompt, workflow, film_id, parts)


def _work(prompt: Nodes, workflow: str, film_id: str, parts: list[str]) -> dict[str, Any]:
    try:
        return _packed(look(prompt), workflow, film_id, parts)
    except OSError as error:
        raise Problems([Problem("", f"The ZIP file could not be written: {error.strerror}.")]) from None


async def _answer(request: web.Request) -> web.Response:
    return await answer(request, _read, _USAGE)


def _remove_earlier() -> None:
    """Removes the ZIP files that had time to be downloaded: each is as large as a film and all its clips."""
    for folder in (folders.temporary() / STORE).glob(f"{_BUNDLE}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _KEPT_SECONDS:
                shutil.rmtree(folder)


def _packed(there: Look, workflow: str, film_id: str, parts: list[str]) -> dict[str, Any]:
    bundle = bundle_of(there, workflow, film_id, parts)
    file = None
    if bundle.entries:
        # Each in a folder of its own, so that the file can have its name; ComfyUI empties it at its start.
        _remove_earlier()
        folder = f"{STORE}/{_BUNDLE}{uuid.uuid4().hex}"
        file = {"filename": f"{bundle.name}.zip", "subfolder": folder, "type": "temp"}
        pack(bundle.entries, folders.temporary() / folder / file["filename"])
    return {"file": file, "missing": bundle.missing, "is_old": bundle.is_old}
