"""What a render has made so far, from which the manifests of its stories are written."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av

from story_studio.story.graph import CharacterId, SceneId
from story_studio.story.results import Kind, sheet_file
from story_studio.story.schema import Scene

from ..version import version
from .cut import read_cut, read_drift
from .manifest import (
    CharacterEntry,
    CheckResult,
    Manifest,
    NodeCounts,
    Result,
    SceneEntry,
    Take,
    VideoResult,
    film_settings,
    read_manifest,
    scene_settings,
)
from .prepare import RenderPlan
from .reported import Checked


@dataclass
class Record:
    """What a render of several stories has made and seen so far.

    Attributes:
        results: the finished files, by the story's number and the file's name.
        checks: how the clips of scenes did.
        takes: all clips that were made for a scene.
        failed: why scenes were given up.
        events: what went wrong and was recovered from, a sentence each.
        warnings: what the nodes say about results, a sentence each, by the story's number.
        seconds: how long ComfyUI worked for each scene.
        between: seconds from the last still to the end of the first clip's first step; None unless both
            were made.
        loads: how often each model file was named by a loader that ran.
        executed: nodes that ran, by submission.
        nodes: of the last graph.
        out_of_memory: how often memory ran out.
        memory: how the server's models share the memory.
    """

    results: dict[tuple[int, str], Result] = field(default_factory=dict)
    checks: dict[SceneId, CheckResult] = field(default_factory=dict)
    takes: dict[SceneId, list[Take]] = field(default_factory=dict)
    failed: dict[SceneId, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    warnings: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    seconds: defaultdict[SceneId, float] = field(default_factory=lambda: defaultdict(float))
    between: float | None = None
    loads: Counter[str] = field(default_factory=Counter)
    executed: set[tuple[str, str]] = field(default_factory=set)
    nodes: int = 0
    out_of_memory: int = 0
    memory: str = ""

    def note_check(self, checked: Checked) -> None:
        """A clip was checked; and made again, where there is more than one take."""
        self.checks[checked.scene] = checked.check
        if checked.takes:
            self.takes[checked.scene] = checked.takes

    def manifest(self, plan: RenderPlan, number: int, folder: Path, seconds: dict[str, float]) -> Manifest:
        """The manifest of the story of this number, whose files are in `folder`."""
        story = plan.story
        scenes = [self._scene(plan, number, scene, folder) for scene in story.scenes]
        film = self.results.get((number, Kind.FILM.project_file()))
        end = Kind.CLIP if plan.clips else Kind.STILL
        # A scene of which the film could not use the clip has failed, too.
        finished = sum(scene.result(end) is not None and scene.error is None for scene in scenes)
        complete = finished == len(scenes) and (film or not story.film or not plan.clips)
        between = {} if self.between is None else {"between": self.between}
        manifest = Manifest(
            version=version(),
            project_id=story.project_id,
            title=story.title,
            status="complete" if complete else "partial" if finished else "failed",
            profile=story.profile,
            film=_film(plan, film, folder, scenes) if film else None,
            storyboard=self.results.get((number, Kind.SHEET.project_file())),
            scenes=scenes,
            warnings=plan.warnings + self.warnings[number] + self.events,
            seconds={name: round(spent, 2) for name, spent in {**seconds, **between}.items()},
            model_loads=dict(sorted(self.loads.items())),
            out_of_memory=self.out_of_memory,
            memory=self.memory,
            nodes=NodeCounts(in_graph=self.nodes, executed=len(self.executed)),
        )
        if characters := self._characters(plan, number):
            manifest.characters = characters
        if not complete:
            # What this render did not get to is still in use.
            before = read_manifest(folder)
            manifest.earlier = sorted(set(before.keys())) if before else []
        return manifest

    def sheets_manifest(
        self, plan: RenderPlan, number: int, folder: Path, seconds: dict[str, float]
    ) -> Manifest:
        """The manifest in a story's folder with the character sheets that were made since; or a new one."""
        manifest = self.manifest(plan, number, folder, seconds)
        before = read_manifest(folder)
        if before is None:
            return manifest.model_copy(update={"scenes": [], "status": "partial"})
        of_others = [entry for entry in before.characters if not manifest.character(entry.id)]
        return before.model_copy(update={"characters": [*of_others, *manifest.characters]})

    def _characters(self, plan: RenderPlan, number: int) -> list[CharacterEntry]:
        """The entries of characters that have a sheet, or should have one."""
        entries = []
        for key in plan.story.characters:
            about: dict[str, Any] = {}
            if sheet := self.results.get((number, sheet_file(key))):
                about["sheet"] = sheet
            if reason := self.failed.get(CharacterId(number, key).owner):
                about["error"] = reason
            if about:
                entries.append(CharacterEntry(id=key, seed=plan.story.sheet_seed(key), **about))
        return entries

    def _scene(self, plan: RenderPlan, number: int, scene: Scene, folder: Path) -> SceneEntry:
        scene_id = SceneId(number, scene.id)
        entry: dict[str, Any] = {"id": scene.id, "kind": scene.kind_of, "seed": plan.story.seed_of(scene)}
        more = {"character": scene.character, "dialogue": scene.dialogue}
        entry |= {name: value for name, value in more.items() if value}
        if still := self.results.get((number, Kind.STILL.project_file(scene.id))):
            entry["still"] = still
        if clip := self.results.get((number, Kind.CLIP.project_file(scene.id))):
            entry["clip"] = _measured(clip, folder)
        if master := self.results.get((number, Kind.MASTER.project_file(scene.id))):
            drift = read_drift(folder / master.file)
            entry["master"] = _measured(master, folder, **(drift.model_dump() if drift else {}))
        if voice := self.results.get((number, Kind.VOICE.project_file(scene.id))):
            entry["voice"] = voice
        if check := self.checks.get(scene_id):
            sheet = self.results.get((number, Kind.CHECK.project_file(scene.id)))
            entry["check"] = check.model_copy(update=sheet.model_dump(exclude_unset=True) if sheet else {})
        if takes := self.takes.get(scene_id):
            entry["takes"] = takes
        if reason := self.failed.get(scene_id):
            entry["error"] = reason
        settings, seconds = scene_settings(plan, scene), round(self.seconds[scene_id], 2)
        return SceneEntry(**entry, settings=settings, seconds=seconds)


def _film(plan: RenderPlan, film: Result, folder: Path, scenes: Sequence[SceneEntry]) -> VideoResult:
    """The film, whose shots are those scenes that have a clip and did not fail after it, in order."""
    about: dict[str, Any] = {"settings": film_settings(plan)}
    if cut := read_cut(folder / film.file):
        ids = iter([scene.id for scene in scenes if scene.clip and scene.error is None])
        shots = [
            shot.model_copy(update={"scene": next(ids, "")}) if shot.kind == "scene" else shot
            for shot in cut.shots
        ]
        about["cut"] = cut.model_copy(update={"shots": shots})
    return _measured(film, folder, **about)


def _measured(result: Result, folder: Path, **more: Any) -> VideoResult:
    with av.open(str(folder / result.file)) as container:
        video = container.streams.video[0]
        seconds = round((container.duration or 0) / av.time_base, 3)
        size = {"width": video.width, "height": video.height}
    return VideoResult(**result.model_dump(exclude_unset=True), seconds=seconds, **size, **more)
