"""Dry runs: what a render would make, what it would reuse, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from story_studio.story.changes import changes
from story_studio.story.graph import Graph, Plan, SceneId, build
from story_studio.story.pins import Pin, read_pin
from story_studio.story.results import Kind
from story_studio.story.schema import Scene
from story_studio.story.still_graph import shown_by_reference

from ..storage.results import find_results
from .keys import choose_keys, possible_keys
from .manifest import (
    DESCRIPTION,
    SHEET_STEP,
    Manifest,
    SceneEntry,
    film_settings,
    read_manifest,
    scene_settings,
)
from .prepare import RenderPlan


class Step(NamedTuple):
    """What a render would do for a still, clip or film: reuse it, or make it, and why."""

    kind: str
    scene: str
    reused: bool
    why: str


@dataclass(frozen=True)
class Forecast:
    """What a render of a story would make.

    Attributes:
        steps: one for each result.
        keys: that its stills, clips and masters may have; those of takes that the story chooses are left out.
        checked: how many clips are checked.
        most_retakes: how many of them may be made again, each time counted; no fewer than will be.
    """

    steps: list[Step]
    keys: list[tuple[Kind, str]]
    checked: int = 0
    most_retakes: int = 0


class _Takes(NamedTuple):
    """What is known of a scene's takes.

    Attributes:
        kept: the key of the clip that a render shows, as far as it is known.
        retakes: what it would do for each retake that the last render made.
        open: how many retakes may have to be made.
    """

    kept: str
    retakes: list[Step]
    open: int


def forecast(
    plans: Sequence[RenderPlan], output: Path, elsewhere: bool = False, only_sheets: bool = False
) -> list[Forecast]:
    """What a render of these stories would make and what it would reuse, story by story.

    Args:
        plans: the stories; their files need not be on any server.
        output: folder of the projects, with the server's results in it.
        elsewhere: the results are on another machine; those of the last render are assumed to be there.
        only_sheets: the render makes the character sheets and nothing else.
    """
    last = [read_manifest(output / plan.story.project_id) or Manifest() for plan in plans]
    assumed = set(chain.from_iterable(manifest.keys() for manifest in last)) if elsewhere else set[str]()
    contents = {name: sha256 for plan in plans for name, sha256 in plan.contents.items()}
    graph = build(plans, only_sheets=only_sheets)

    def exists(kind: Kind, key: str) -> bool:
        return key in assumed or any(find_results(output, kind, key))

    possible = possible_keys(graph, contents)
    keys = choose_keys(graph, possible, exists)
    return [
        _Forecaster(number, plan, graph, keys, last[number], exists).forecast(possible)
        for number, plan in enumerate(plans)
    ]


def _pin(kind: Kind, scene: Scene) -> Pin | None:
    """The take that a scene chooses, whether it is used or has let go."""
    return read_pin({Kind.STILL: scene.still_take, Kind.CLIP: scene.clip_take}.get(kind))


def _is_used(pin: Pin | None, key: str) -> bool:
    """Whether a take is chosen and holds, by the key that its node has."""
    return pin is not None and pin.key == key


def _let_go(pin: Pin | None, key: str) -> str:
    """Why a take that is chosen is not used; empty if it is."""
    if pin is None or _is_used(pin, key):
        return ""
    return f"the chosen take {pin.key} was made before its settings changed"


def forget(forecasts: list[Forecast], output: Path) -> int:
    """Deletes the stills, clips and masters that these stories would reuse; returns their number."""
    doomed = [
        path for story in forecasts for kind, key in story.keys for path in find_results(output, kind, key)
    ]
    for path in doomed:
        path.unlink(missing_ok=True)
    return len(doomed)


class _Forecaster:
    """The forecast of one story."""

    def __init__(
        self,
        number: int,
        plan: Plan,
        graph: Graph,
        chosen: Mapping[str, str],
        last: Manifest,
        exists: Callable[[Kind, str], bool],
    ):
        self._plan, self._last, self._exists = plan, last, exists
        self._checked = sum(scene.story == number for scene in graph.checks)
        self._nodes = {
            (kind, scene.id): nodes[SceneId(number, scene.id)]
            for scene in plan.story.scenes
            for kind, nodes in graph.of_scenes.items()
            if SceneId(number, scene.id) in nodes
        }
        self._keys = {place: chosen[node] for place, node in self._nodes.items()}
        # A take that is used stays, so none is made in its place.
        pins = {scene.id: _pin(Kind.CLIP, scene) for scene in plan.story.scenes}
        self._retakes = {
            scene.scene: nodes
            for scene, nodes in graph.retakes.items()
            if scene.story == number and not _is_used(pins[scene.scene], self._keys[Kind.CLIP, scene.scene])
        }
        self._takes = {
            scene: self._takes_of(scene, [self._keys[Kind.CLIP, scene], *(chosen[node] for node in nodes)])
            for scene, nodes in self._retakes.items()
        }
        self._sheets = {
            sheet.character: node for sheet, node in graph.characters.items() if sheet.story == number
        }
        self._sheet_keys = {key: chosen[node] for key, node in self._sheets.items()}

    def forecast(self, possible: Mapping[str, Sequence[str]]) -> Forecast:
        sheets = [self._sheet_step(key) for key in self._sheets]
        sheet_keys = [
            (Kind.STILL, key)
            for character, node in self._sheets.items()
            if not _is_used(self._sheet_pin(character), self._sheet_keys[character])
            for key in possible[node]
        ]
        if not self._nodes:
            return Forecast(sheets, sheet_keys)
        scenes = self._plan.story.scenes
        stills = [self._step(Kind.STILL, scene.id) for scene in scenes]
        clips = [self._step(Kind.CLIP, scene.id) for scene in scenes]
        masters = [
            self._step(Kind.MASTER, scene.id) for scene in scenes if (Kind.MASTER, scene.id) in self._nodes
        ]
        retakes = [step for takes in self._takes.values() for step in takes.retakes]
        film = [self._film_step([*clips, *retakes], masters)] if self._plan.story.film else []
        takes = {
            (kind, scene.id)
            for scene in scenes
            for kind in (Kind.STILL, Kind.CLIP)
            if (kind, scene.id) in self._keys and _is_used(_pin(kind, scene), self._keys[kind, scene.id])
        }
        keys = [
            (place[0], key)
            for place, node in self._nodes.items()
            if place not in takes
            for key in possible[node]
        ]
        retake_nodes = [node for nodes in self._retakes.values() for node in nodes]
        keys += [(Kind.CLIP, key) for node in retake_nodes for key in possible[node]]
        return Forecast(
            [*sheets, *stills, *clips, *retakes, *masters, *film],
            [*sheet_keys, *keys],
            self._checked,
            sum(takes.open for takes in self._takes.values()),
        )

    def _takes_of(self, scene: str, keys: list[str]) -> _Takes:
        entry = self._last.scene(scene)
        made = entry.takes if entry else []
        is_same = bool(made) and [take.key for take in made] == keys[: len(made)]
        is_settled = is_same and (len(made) == len(keys) or made[-1].verdict != "fail")
        if not (entry and entry.clip and is_settled):
            return _Takes(keys[0], [], sum(not self._exists(Kind.CLIP, key) for key in keys[1:]))
        retakes = []
        for number, take in enumerate(made[1:], start=1):
            reused = self._exists(Kind.CLIP, take.key)
            retakes.append(Step(f"retake {number}", scene, reused, "" if reused else "its file is gone"))
        return _Takes(entry.clip.key, retakes, 0)

    def _sheet_step(self, key: str) -> Step:
        reused = self._exists(Kind.STILL, self._sheet_keys[key])
        if not reused and (let_go := _let_go(self._sheet_pin(key), self._sheet_keys[key])):
            return Step(SHEET_STEP, key, reused, let_go)
        entry = self._last.character(key)
        why = "there is none yet"
        if entry and entry.sheet:
            is_same = entry.sheet.key == self._sheet_keys[key]
            why = "its file is gone" if is_same else "the character, the recipe or its models changed"
        return Step(SHEET_STEP, key, reused, "" if reused else why)

    def _sheet_pin(self, character: str) -> Pin | None:
        return read_pin(self._plan.story.characters[character].reference_take)

    def _changed_sheets(self, scene: Scene) -> Iterator[str]:
        """What a still is made from that is not what it was."""
        for key in shown_by_reference(self._plan, scene):
            entry = self._last.character(key)
            if key in self._sheet_keys and (
                not entry or not entry.sheet or entry.sheet.key != self._sheet_keys[key]
            ):
                yield f"the sheet of {key} changed"

    def _step(self, kind: Kind, scene: str) -> Step:
        reused = self._exists(kind, self._keys[kind, scene])
        why = "" if reused else self._why(kind, scene, self._last.scene(scene))
        return Step(kind.word, scene, reused, why)

    def _why(self, kind: Kind, scene: str, entry: SceneEntry | None) -> str:
        (found,) = [each for each in self._plan.story.scenes if each.id == scene]
        if let_go := _let_go(_pin(kind, found), self._keys[kind, scene]):
            return let_go
        if entry is None:
            return "the scene is new"
        last = entry.result(kind)
        if last is None:
            return "there is none yet" if kind is Kind.MASTER else "it was not finished"
        first = entry.takes[0].key if kind is Kind.CLIP and entry.takes else last.key
        if first == self._keys[kind, scene]:
            return "its file is gone"
        if kind is Kind.MASTER:
            is_new = not entry.clip or entry.clip.key != self._shown(scene)
            return "its clip changed" if is_new else "the delivery of the film changed"
        settings = scene_settings(self._plan, found)
        # The still of an own clip is a frame of it, as it is trimmed.
        is_own, of_still = found.kind_of == "clip", kind is Kind.STILL
        parts = (entry.settings, settings)
        before, after = ((part.still if of_still and not is_own else part.clip) or {} for part in parts)
        reasons = list(self._reasons(found, before, after))
        if not of_still and not is_own and (not entry.still or entry.still.key != self._still_key(scene)):
            reasons.insert(0, "its still changed")
        if of_still:
            reasons += self._changed_sheets(found)
        return "; ".join(filter(None, reasons)) or "its recipe or models changed"

    def _shown(self, scene: str) -> str:
        """The key of the clip that a scene has in the film."""
        takes = self._takes.get(scene)
        return takes.kept if takes else self._keys[Kind.CLIP, scene]

    def _still_key(self, scene: str) -> str:
        return self._keys[Kind.STILL, scene]

    def _reasons(self, scene: Scene, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
        """What changed in a scene; in words where the names of settings would say less."""
        changed = {name for name in {**before, **after} if before.get(name) != after.get(name)}
        if "clip" in changed:
            yield "its own clip changed"
        if "audio" in changed and scene.is_spoken:
            yield "its voice changed"
        described = sorted(name for name in changed if name.startswith(DESCRIPTION))
        yield from (f"the {name} changed" for name in described)
        known = {
            "clip",
            *described,
            *(["audio"] if scene.is_spoken else []),
            *(["prompt"] if described else []),
        }
        yield changes(
            *({name: value for name, value in part.items() if name not in known} for part in (before, after))
        )

    def _film_step(self, clips: list[Step], masters: list[Step]) -> Step:
        film = self._last.film
        for what, steps in (("clips", clips), ("masters", masters)):
            if made := [step.scene for step in steps if not step.reused]:
                return Step("film", "", False, f"new {what}: {', '.join(made)}")
        if not film:
            return Step("film", "", False, "there is none yet")
        before = {entry.id: entry.clip.key if entry.clip else None for entry in self._last.scenes}
        others = [
            scene
            for kind, scene in self._keys
            if kind is Kind.CLIP and before.get(scene) != self._shown(scene)
        ]
        if changed := changes(film.settings or {}, film_settings(self._plan)):
            return Step("film", "", False, changed)
        if others:
            return Step("film", "", False, f"other takes: {', '.join(others)}")
        if not self._exists(Kind.FILM, film.key):
            return Step("film", "", False, "its file is gone")
        return Step("film", "", True, "")
