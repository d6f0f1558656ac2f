"""What the nodes of a graph report when they are done: files of a story, and how its clips did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from story_studio.checks.verdict import Finding
from story_studio.story.graph import Graph, SceneId
from story_studio.story.results import Kind, sheet_file

from .manifest import CheckResult, Take

Json = Mapping[str, Any]


class Reported(NamedTuple):
    """A finished file on the server.

    Attributes:
        story: the number of its story.
        kind: of the result; a character sheet is a still.
        name: of the file in the story's folder.
        item: how ComfyUI addresses it.
        key: the result's; empty where a node of another pack made it.
        reused: whether it was found, and not made.
    """

    story: int
    kind: Kind
    name: str
    item: dict[str, Any]
    key: str
    reused: bool


class Checked(NamedTuple):
    """How a clip did, without the file; and all takes of its scene, where it may be made again."""

    scene: SceneId
    check: CheckResult
    takes: list[Take]

    def reused(self) -> Checked:
        """The same where nothing of it was made in this render."""
        return self._replace(takes=[take.model_copy(update={"reused": True}) for take in self.takes])


def files_of(graph: Graph, node: str, output: Json) -> Iterator[Reported]:
    """The files of stories that a node has made; none where it is no node that keeps results."""
    items = output.get("images") or []
    if scene := _scene_of(graph.checks, node):
        made = [(Kind.CHECK, items[0], _first(output, "check"))] if items else []
        if (clip := _first(output, "clip")) and scene in graph.retakes:
            made.append((Kind.CLIP, clip, clip))
        for kind, item, about in made:
            yield _reported(scene.story, kind, kind.project_file(scene.scene), item, about)
    elif items and (target := _target(graph, node)):
        yield _reported(*target, items[0], _first(output, "checkpoint"))


def first_take_of(graph: Graph, node: str, output: Json) -> Reported | None:
    """The first take of a clip that may be made again, which `files_of` leaves to its check to choose."""
    scene, items = _scene_of(graph.clips, node), output.get("images")
    if scene is None or scene not in graph.retakes or not items:
        return None
    name = Kind.CLIP.project_file(scene.scene)
    return _reported(scene.story, Kind.CLIP, name, items[0], _first(output, "checkpoint"))


def check_of(graph: Graph, node: str, output: Json) -> Checked | None:
    """The check that a node has made; None if it makes none, or does not say it as this version does."""
    scene, about = _scene_of(graph.checks, node), _first(output, "check")
    if scene is None or not about.get("verdict"):
        return None
    try:
        check = CheckResult(
            verdict=about["verdict"],
            findings=[Finding.model_validate(finding) for finding in about.get("findings", [])],
            figures=about.get("figures", {}),
        )
        made = about.get("takes", []) if scene in graph.retakes else []
        takes = [Take.model_validate(take) for take in made]
    except ValidationError:
        return None
    return Checked(scene, check, takes)


def _reported(story: int, kind: Kind, name: str, item: Json, about: Json) -> Reported:
    return Reported(story, kind, name, dict(item), about.get("key") or "", bool(about.get("reused")))


def _first(output: Json, name: str) -> dict[str, Any]:
    return next(iter(output.get(name) or []), None) or {}


def _scene_of(nodes: Mapping[SceneId, str], node: str) -> SceneId | None:
    return next((scene for scene, made_by in nodes.items() if made_by == node), None)


def _target(graph: Graph, node: str) -> tuple[int, Kind, str] | None:
    """What a node makes: the story's number, the kind and the file's name."""
    for kind, nodes in graph.of_scenes.items():
        if scene := _scene_of(nodes, node):
            # Where a clip is made again if it fails, its check says which one is kept.
            is_open = kind is Kind.CLIP and scene in graph.retakes
            return None if is_open else (scene.story, kind, kind.project_file(scene.scene))
    for sheet, made_by in graph.characters.items():
        if made_by == node:
            return sheet.story, Kind.STILL, sheet_file(sheet.character)
    for kind, nodes in ((Kind.SHEET, graph.sheets), (Kind.FILM, graph.films)):
        for number, made_by in nodes.items():
            if made_by == node:
                return number, kind, kind.project_file()
    return None
