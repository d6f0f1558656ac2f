"""The manifest of a story: what a render made and how, stored beside its files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from story_studio.checks.figures import Figures
from story_studio.checks.verdict import Finding, Verdict
from story_studio.story import graph as graphs
from story_studio.story.clip_graph import recipe_of
from story_studio.story.graph import Plan
from story_studio.story.recipes import Recipe
from story_studio.story.results import MANIFEST, Kind
from story_studio.story.schema import Scene
from story_studio.story.still_graph import own_reference, shown_by_reference, still_loras, still_recipe

from ..files import written_aside
from .cut import AnyCut, ChunkDrift

Settings = dict[str, Any]
DESCRIPTION = "description of "
"""Before a character's key: a setting of stills."""
SHEET_STEP = "character sheet"
"""What a character sheet is called among stills, clips and films."""
_EARLIER = {"join", "crossfade_seconds", "chapters", "captions", "loudness"}
"""Settings of a film that a manifest names even at their defaults."""


class _Part(BaseModel):
    """Part of a manifest. What earlier versions left out has a default; what later ones add is kept."""

    model_config = ConfigDict(extra="allow")


class Result(_Part):
    """A finished file.

    Attributes:
        file: its name in the story's folder.
        reused: whether it was found, and not made.
        key: by which it is found again; empty where a node of another pack made it.
    """

    file: str = ""
    sha256: str = ""
    bytes: int = 0
    reused: bool = False
    key: str = ""


class VideoResult(Result):
    """A finished clip, master or film.

    Attributes:
        seconds, width, height: its length, and its size in pixels.
        settings, cut: of a film.
        drift: of a master's clip, where it was measured.
        corrected: whether the master undoes it.
    """

    seconds: float = 0.0
    width: int = 0
    height: int = 0
    settings: Settings | None = None
    cut: AnyCut = None
    drift: list[ChunkDrift] | None = None
    corrected: bool | None = None


class CheckResult(Result):
    """What the check of a clip has found; the file is the sheet of its worst moments.

    Attributes:
        verdict: of the clip that was kept.
        findings: each figure that is out of its limits, with a sentence.
        figures: all that was measured.
    """

    verdict: Verdict = "pass"
    findings: list[Finding] = []
    figures: Figures = Figures()

    @property
    def failures(self) -> list[str]:
        """Why the clip did not pass, a sentence each."""
        return [finding.text for finding in self.findings if finding.level == "fail"]


class Take(_Part):
    """One of the clips that were made for a scene until one passed its check.

    Attributes:
        key: the clip's.
        seed: that it was made with.
        verdict: of its check.
        reasons: why it did not pass, a sentence each.
        needs_retake: whether it fails in a way that another seed may help; None where that is not said.
        check: the key of its check.
        reused: whether it was found, and not made.
    """

    key: str = ""
    seed: int | None = None
    verdict: Verdict = "pass"
    reasons: list[str] = []
    needs_retake: bool | None = None
    check: str = ""
    reused: bool = False


class SceneSettings(_Part):
    """What a scene's still and clip were made with, by the recipes' parameters; no still for an own image."""

    still: Settings | None = None
    clip: Settings | None = None


class SceneEntry(_Part):
    """A scene: its results, or why it was given up, and how many seconds ComfyUI worked for it.

    Attributes:
        master: the clip at the film's frame rate and size, where the clip itself is changed for the film.
        voice: where its text was spoken.
        check: of the clip, where it was checked.
        takes: all clips that were made for it, in order, where a clip that fails is made again. One of them
            is `clip`.
        kind: talking, narrated, silent or clip; empty in manifests of earlier versions.
        character: the key of who speaks.
        dialogue: the id of the dialogue that it is a shot of.
    """

    id: str = ""
    kind: str = ""
    character: str = ""
    dialogue: str = ""
    seed: int = 0
    still: Result | None = None
    clip: VideoResult | None = None
    master: VideoResult | None = None
    voice: Result | None = None
    check: CheckResult | None = None
    takes: list[Take] = []
    error: str | None = None
    settings: SceneSettings = SceneSettings()
    seconds: float = 0.0

    @property
    def results(self) -> tuple[Result | None, ...]:
        """All of the scene's results, None for those that it lacks."""
        return self.still, self.clip, self.master, self.voice, self.check

    def result(self, kind: Kind) -> Result | None:
        """The scene's result of this kind: still, clip or master."""
        return {Kind.STILL: self.still, Kind.CLIP: self.clip, Kind.MASTER: self.master}[kind]


class CharacterEntry(_Part):
    """A character: its sheet, or why that was given up.

    Attributes:
        id: its key in the story.
        seed: of the sheet.
    """

    id: str = ""
    seed: int = 0
    sheet: Result | None = None
    error: str | None = None


class NodeCounts(_Part):
    """How many nodes the graph had, and how many of them ran."""

    in_graph: int = 0
    executed: int = 0


class Manifest(_Part):
    """What became of a story.

    Attributes:
        seconds: in all (`total`), of the phases (`stills`, `clips`, `films`), and from the last still to the
            first step of the first clip (`between`), where both were made.
        model_loads: how often each model file was loaded.
        memory: how the server's models share the memory.
        out_of_memory: how often memory ran out.
        version: of Story Studio; empty in manifests of earlier ones.
        earlier: keys of the last complete render, if this one is not: its results are still in use.
    """

    version: str = ""
    project_id: str = ""
    title: str | None = None
    status: Literal["complete", "partial", "failed"] = "failed"
    profile: str = ""
    film: VideoResult | None = None
    storyboard: Result | None = None
    scenes: list[SceneEntry] = []
    characters: list[CharacterEntry] = []
    warnings: list[str] = []
    seconds: dict[str, float] = {}
    model_loads: dict[str, int] = {}
    memory: str = ""
    out_of_memory: int = 0
    nodes: NodeCounts = NodeCounts()
    earlier: list[str] = []

    def keys(self) -> Iterator[str]:
        """The keys of all results that the render used, or the last complete one before it."""
        results: list[Result | None] = [self.film, self.storyboard]
        results += [result for scene in self.scenes for result in scene.results]
        results += [character.sheet for character in self.characters]
        yield from (result.key for result in results if result and result.key)
        takes = [take for scene in self.scenes for take in scene.takes]
        yield from (key for take in takes for key in (take.key, take.check) if key)
        yield from self.earlier

    def scene(self, scene_id: str) -> SceneEntry | None:
        """The entry of a scene; None if the story had no such scene."""
        return next((scene for scene in self.scenes if scene.id == scene_id), None)

    def character(self, key: str) -> CharacterEntry | None:
        """The entry of a character; None if it had no sheet."""
        return next((character for character in self.characters if character.id == key), None)

    def write(self, folder: Path) -> None:
        """Stores it in the story's folder. Raises OSError."""
        data = self.model_dump(mode="json", exclude_unset=True)
        with written_aside(folder / MANIFEST) as aside:
            aside.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in a story's folder; None if there is none that can be read.

    A field with an unexpected value gets its default: results that the others name are still in use.
    """
    try:
        data = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    while isinstance(data, dict):
        try:
            return Manifest.model_validate(data)
        except ValidationError as error:
            _remove(data, error.errors()[0]["loc"])
    return None


def _remove(data: Any, place: tuple[int | str, ...]) -> None:
    """Removes the item at a place in JSON data."""
    *above, last = place
    for step in above:
        data = data[step]
    del data[last]


def scene_settings(plan: Plan, scene: Scene) -> SceneSettings:
    """What a scene's still and clip are made with."""
    still = None if scene.image or scene.kind_of == "clip" else _still_settings(plan, scene)
    return SceneSettings(still=still, clip=_clip_settings(plan, scene) if plan.clips else None)


def _still_settings(plan: Plan, scene: Scene) -> Settings:
    settings = _used(still_recipe(plan, scene), graphs.still_values(plan, scene))
    references = {
        key: own_reference(plan, key) or "character sheet" for key in shown_by_reference(plan, scene)
    }
    loras = {lora.file: lora.strength for lora in still_loras(plan, scene)}
    characters = plan.story.characters
    settings |= {
        f"{DESCRIPTION}{key}": characters[key].description for key in plan.story.characters_of(scene)
    }
    return {**settings, **{n: v for n, v in (("references", references), ("loras", loras)) if v}}


def _clip_settings(plan: Plan, scene: Scene) -> Settings:
    recipe, files = recipe_of(plan, scene), plan.files[scene.id]
    if recipe is None:
        own = {"clip": files.clip, "from": scene.start, "to": scene.end, "mute": scene.mute or None}
        return {name: value for name, value in (own | {"audio": files.audio}).items() if value is not None}
    settings = _used(recipe, graphs.clip_values(plan, scene))
    if scene.kind_of == "silent":
        # In place of a voice it has a silence of this length.
        settings = {name: value for name, value in settings.items() if name != "audio"}
        return settings | {"seconds": scene.seconds}
    # A recipe that makes so many frames gets its voice afterwards.
    return settings | {"audio": files.audio}


def film_settings(plan: Plan) -> Settings:
    """What a film is made with, besides its clips."""
    story, settings = plan.story, {}
    if story.film:
        settings = story.film.model_dump(include=_EARLIER)
        settings |= story.film.model_dump(exclude={"partial"}, exclude_defaults=True)
    settings |= plan.profile.film_settings
    # Its name has the hash of its content.
    settings |= {"music file": plan.music} if plan.music else {}
    of_scenes = {
        "transitions": [scene.transition for scene in story.scenes],
        "pauses": [scene.pause_after for scene in story.scenes],
        "scenes without music": [scene.id for scene in story.scenes if not scene.music],
        "translations": [scene.translations for scene in story.scenes],
    }
    return {
        **settings,
        "title": story.title,
        "scenes": [scene.id for scene in story.scenes],
        "chapter titles": [scene.title for scene in story.scenes],
        "texts": [scene.text for scene in story.scenes],
        **{name: values for name, values in of_scenes.items() if any(values)},
    }


def _used(recipe: Recipe, values: Settings) -> Settings:
    return {name: value for name, value in values.items() if name in recipe.parameters}
