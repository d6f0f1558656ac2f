"""What each finished film was made from: whether a graph still leads to it is known without rendering.

A film's own key holds what is in its clips, so it is known only when they all are there. Therefore the keys
of what a film was made from are noted beside the films, a line of JSON for each film that was made or found
again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..core import server
from ..files import read_once
from ..story import order
from ..story.classes import FILM_SCENE
from ..story.keys import Keys, Node, hash_parts
from ..story.recipes import is_link
from ..story.results import Kind
from . import noted, result_store
from .look import Folder

NOTES = ".made_from.jsonl"
"""The file of the notes, in the folder of films."""
_MOST_BYTES = 8_000_000
_SIZE = ("width", "height")
"""The inputs of a Film that have no effect where its clips are equally large."""


class MadeFrom(NamedTuple):
    """What a film is made from.

    Attributes:
        shots: of each its title, the key of its clip, and the key of its own settings, such as its text.
            Titles are empty where ComfyUI writes no metadata: then nothing in words is kept besides films.
        settings: the key of the film's settings, and of what is linked to it besides its scenes.
        workflow: the id of the workflow on the canvas; empty if it is not known.
        any_size: as `settings`, without a size; of a film that is there, empty if its size has an effect.
        node: the id of the Film in it; empty in notes of earlier versions.
    """

    shots: tuple[tuple[str, str, str], ...]
    settings: str
    workflow: str = ""
    any_size: str = ""
    node: str = ""

    @property
    def key(self) -> str:
        """The key of all of it, whichever workflow it was."""
        return self._key(self.settings)

    @property
    def key_of_any_size(self) -> str:
        """The key of all of it but the size; empty if that has an effect."""
        return self._key(self.any_size) if self.any_size else ""

    def _key(self, settings: str) -> str:
        return hash_parts(json.dumps([[shot[1:] for shot in self.shots], settings]))


class _Note(NamedTuple):
    """What a film was made from, and the keys of that, which are computed once."""

    film: str
    key: str
    key_of_any_size: str
    made: MadeFrom


def made_from(
    graph: result_store.Graph, node_id: str, workflow: str = "", known: Keys | None = None
) -> MadeFrom:
    """What the film of a Film node is made from, whether it is there or not.

    Args:
        graph, node_id: the Film node.
        workflow: the id of the workflow on the canvas.
        known: today's keys of the graph, where they are known.

    Raises:
        Exception: the graph is not finished: an input is not linked, a file is missing.
    """
    nodes = order.with_chains(result_store.upstream(graph, node_id))
    scenes = scenes_of(nodes, node_id)
    keys = result_store.keys_of(partial(_without_scenes, nodes))
    shots, shows_titles = [], server.saves_metadata()
    for scene in scenes:
        clip = nodes[scene]["inputs"]["clip"]
        title = nodes[scene]["inputs"].get("title", "")
        key = hash_parts((known or keys).of(clip[0]), str(clip[1]))
        shots.append((title if shows_titles and isinstance(title, str) else "", key, keys.of(scene)))
    any_size = result_store.keys_of(partial(_without_scenes, nodes, also=_SIZE)).of(node_id)
    return MadeFrom(tuple(shots), keys.of(node_id), workflow, any_size, node_id)


def scenes_of(nodes: Mapping[str, Node], node_id: str) -> list[str]:
    """The Film Scenes of a Film, in order."""
    found: dict[str, None] = {}
    link = nodes[node_id]["inputs"].get("film")
    while is_link(link) and link[0] not in found and link[0] in nodes:
        node = nodes[link[0]]
        if node["class_type"] != FILM_SCENE:
            break
        found[link[0]] = None
        link = node["inputs"].get("film")
    return [*found][::-1]


def _without_scenes(nodes: Mapping[str, Node], node_id: str, also: tuple[str, ...] = ()) -> Node:
    """A node without what is compared scene by scene, and without its name, which is not in the film; a Film
    also without these inputs."""
    node = nodes[node_id]
    of_class = {FILM_SCENE: ("film", "clip"), Kind.FILM.node: ("film", "name", *also)}
    left_out = of_class.get(node["class_type"], ())
    inputs = {name: value for name, value in node["inputs"].items() if name not in left_out}
    return {**node, "inputs": inputs}


def note(film: str, made: MadeFrom) -> None:
    """Notes what the film with this key was made from."""
    wanted = (film, made.key, made.key_of_any_size, made.workflow, made.node)
    if any((*one[:3], one.made.workflow, one.made.node) == wanted for one in _notes()):
        return
    path = _path()
    entry = {"film": film, **made._asdict()}
    noted.note(path, entry, _MOST_BYTES, _newest_half)
    there = Folder(Kind.FILM)
    if any(not there.find(known.film) for known in _notes()):
        # What is known of a film goes with it.
        noted.rewrite(path, lambda entries: [one for one in entries if there.find(one.get("film", ""))])


def _newest_half(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return entries[len(entries) // 2 :]


def made_of(film: str) -> list[MadeFrom]:
    """All that led to the film with this key, the newest first."""
    return [known.made for known in reversed(_notes()) if known.film == film]


def find(made: MadeFrom, there: Folder) -> Path | None:
    """The newest film that was made from this and is there."""
    key, any_size = made.key, made.key_of_any_size
    films = (one.film for one in reversed(_notes()) if one.key == key or one.key_of_any_size == any_size)
    return next((path for film in films if (path := there.find(film))), None)


def _path() -> Path:
    return result_store.folder_of(Kind.FILM) / NOTES


def _notes() -> tuple[_Note, ...]:
    with suppress(OSError):
        return _read(_path())
    return ()


@read_once(1)
def _read(path: Path) -> tuple[_Note, ...]:
    return tuple(found for entry in noted.entries(path) if (found := _read_entry(entry)))


def _read_entry(entry: dict[str, Any]) -> _Note | None:
    """A note; None for an entry that is none."""
    try:
        shots = tuple((title, clip, rest) for title, clip, rest in entry["shots"])
        # Earlier versions did not note these.
        later = (entry.get("any_size", ""), entry.get("node", ""))
        made = MadeFrom(shots, entry["settings"], entry["workflow"], *later)
        return _Note(entry["film"], made.key, made.key_of_any_size, made)
    except (ValueError, KeyError, TypeError):
        return None
