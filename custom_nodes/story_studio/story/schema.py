"""The story file, YAML or JSON; the endpoint's batch JSON is also one."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from .characters import described, family_seed, mentioned_in, name_of, unknown_in, with_names
from .dialogue import shots_of
from .file_text import MAX_BYTES, decode
from .film_settings import FilmSettings
from .formats import SHAPES, Shape
from .messages import FAULTS, problems_of
from .part import ID_PATTERN, MAX_SEED, Id, Language, Part, Prompt, Seed, is_number
from .places import Document, Place, TooLarge, Unreadable
from .problems import Problem, Problems, nearest
from .read_json import read_json
from .read_yaml import read_yaml
from .results import STORE
from .scene import DEFAULT_VIDEO_PROMPT, UNWRITTEN, Line, Scene
from .settings import Character, ImageSettings, Lora, Quality, Resolution, VideoSettings, VoiceSettings

__all__ = [
    "DEFAULT_VIDEO_PROMPT",
    "ID_PATTERN",
    "MAX_SEED",
    "MAX_SCENES",
    "UNWRITTEN",
    "Character",
    "Id",
    "ImageSettings",
    "Line",
    "Lora",
    "Prompt",
    "Quality",
    "Resolution",
    "Scene",
    "Seed",
    "Story",
    "VideoSettings",
    "VoiceSettings",
    "load",
    "parse",
    "parse_document",
    "read",
]

MAX_SCENES = 500
_OTHER_SHAPE = 0.05
"""How much a resolution may differ from the story's format."""


class Story(Part):
    """A story: scenes in order, and how to render them."""

    project_id: Id = Field(description="Name of the files: letters, digits, `_`, `.` and `-`; at most 64.")
    title: str = Field(default="", max_length=200, description="The film's title.")
    profile: str = Field(default="standard", description="draft, turbo, standard or quality.")
    format: Shape | None = Field(
        default=None, description="Shape of stills and clips: 16:9, 9:16, 1:1 or 4:5. Left out: 16:9."
    )
    style: Prompt = Field(default="", description="Appended to the prompt of every scene.")
    seed: Seed = 0
    language: Language | None = Field(default=None, description="The language of the scenes' `text`.")
    characters: dict[Id, Character] = Field(
        default={},
        max_length=100,
        description="Who is in the story, by the key that `{key}` in prompts and `character` in scenes name.",
    )
    scenes: list[Scene] = Field(min_length=1, max_length=MAX_SCENES, description="The scenes in order.")
    image_settings: ImageSettings = Field(default_factory=ImageSettings, description="How stills are made.")
    video_settings: VideoSettings = Field(default_factory=VideoSettings, description="How clips are made.")
    voice_settings: VoiceSettings = Field(
        default_factory=VoiceSettings, description="How texts without a recording are spoken."
    )
    quality: Quality = Field(
        default_factory=Quality, description="Whether clips are checked, and made again if they fail."
    )
    film: FilmSettings | None = Field(
        default_factory=FilmSettings, description="How the clips are joined to a film; false for no film."
    )

    @field_validator("film", mode="before")
    @classmethod
    def _film_or_none(cls, value: Any) -> Any:
        return (FilmSettings() if value else None) if isinstance(value, bool) else value

    @field_validator("format", mode="before")
    @classmethod
    def _shape(cls, value: Any) -> Any:
        # YAML 1.1 reads 16:9 as minutes and seconds.
        return f"{value // 60}:{value % 60}" if is_number(value) else value

    @field_validator("project_id")
    @classmethod
    def _not_reserved(cls, value: str) -> str:
        if value.lower() == STORE:
            raise ValueError(f"{value!r} is the folder of all results: choose another name.")
        return value

    @field_validator("scenes")
    @classmethod
    def _distinct(cls, scenes: list[Scene]) -> list[Scene]:
        # Case-insensitive like some file systems, because ids become file names.
        numbers: dict[str, list[int]] = {}
        for number, scene in enumerate(scenes):
            numbers.setdefault(scene.id.lower(), []).append(number)
        duplicates = [of_id for of_id in numbers.values() if len(of_id) > 1]
        if duplicates:
            ids = ", ".join(sorted({scenes[number].id for of_id in duplicates for number in of_id})[:10])
            where = ", ".join(f"scenes[{number}]" for number in sorted(sum(duplicates, []))[:10])
            raise ValueError(f"the ids {ids} are used more than once ({where}): give each scene its own id.")
        return scenes

    @model_validator(mode="after")
    def _as_shots(self) -> Story:
        """Checks what scenes refer to, and replaces dialogues by their shots."""
        shots = [shot for number, scene in enumerate(self.scenes) for shot in shots_of(scene, number)]
        if faults := [
            *self._faults_of_format(),
            *self._faults_of_prompts(),
            *self._faults_of_shots(shots),
        ]:
            raise PydanticCustomError(FAULTS, "{text}", {"text": " Also: ".join(faults), "faults": faults})
        self.scenes = shots
        return self

    def _faults_of_format(self) -> Iterator[str]:
        if self.format and self.video_settings.resolution not in SHAPES:
            width, height = self.video_settings.size
            wide, high = SHAPES["720p"][self.format]
            if abs(width * high / (height * wide) - 1) > _OTHER_SHAPE:
                yield (
                    f"the format {self.format} and the resolution {self.video_settings.resolution} differ: "
                    "leave one of them out, or write 480p or 720p."
                )

    def _faults_of_shots(self, shots: Sequence[Scene]) -> Iterator[str]:
        if len(shots) > MAX_SCENES:
            yield (
                f"the scenes have {len(shots)} shots, and {MAX_SCENES} are the most: split the story into "
                "several files."
            )
        taken = Counter(shot.id.lower() for shot in shots)
        for shot in shots:
            if shot.dialogue and taken[shot.id.lower()] > 1:
                yield f"{shot.place}: the shot {shot.id} has the id of another scene: rename that."
            if shot.character and shot.character not in self.characters:
                known = nearest(shot.character, self.characters) if self.characters else "add it there."
                yield f"{shot.place}.character: {shot.character[:64]!r} is not in `characters`, {known}"

    def _faults_of_prompts(self) -> Iterator[str]:
        """What is wrong with the names in braces; of scenes as they are written, before they become shots."""
        places: list[tuple[str, Scene | Line]] = []
        for number, scene in enumerate(self.scenes):
            places.append((f"scenes[{number}]", scene))
            places += [(f"scenes[{number}].lines[{index}]", line) for index, line in enumerate(scene.lines)]
        texts = [("style", self.style)]
        texts += [(f"{place}.prompt", part.prompt) for place, part in places]
        texts += [(f"{place}.video_prompt", part.video_prompt) for place, part in places]
        for where, text in texts:
            yield from (f"{where}: {what}" for what in unknown_in(text, self.characters))

    def seed_of(self, scene: Scene) -> int:
        """The scene's own seed, or one derived from the story's seed and the scene's id, not its position.

        Scenes that show the same characters have the same seed, derived from their keys.
        """
        if scene.seed is not None:
            return scene.seed
        if keys := self.characters_of(scene):
            return family_seed(self.seed, keys)
        return (self.seed + zlib.crc32(scene.id.encode())) & MAX_SEED

    def sheet_seed(self, key: str) -> int:
        """The seed of a character's sheet."""
        seed = self.characters[key].seed
        return seed if seed is not None else family_seed(self.seed, [key])

    def characters_of(self, scene: Scene) -> list[str]:
        """The keys of the characters that a scene's still shows, in the order in which the prompt names them.

        They are those in its prompt and the style, and whoever speaks in a talking scene.
        """
        return mentioned_in(self._still_prompt(scene), self.characters)

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height of the clips in pixels, whose product limits the pixels of a frame."""
        shapes = SHAPES.get(self.video_settings.resolution)
        return shapes[self.format] if shapes and self.format else self.video_settings.size

    def voice_of(self, scene: Scene) -> str:
        """The name of the voice that speaks a scene's text; empty for the default one."""
        character = self.characters.get(scene.character)
        return (character.voice if character else "") or self.voice_settings.voice

    def name_of(self, key: str) -> str:
        """The name of a character as cards show it; empty for nobody."""
        return name_of(key, self.characters)

    def language_of(self, scene: Scene) -> str | None:
        """The language of a scene's text; None if it is not known."""
        character = self.characters.get(scene.character)
        return (character.language if character else None) or self.language

    def prompt_of(self, scene: Scene) -> str:
        """The prompt of the scene's still, with the style of the story, and with descriptions of characters
        in place of their names in braces."""
        return described(self._still_prompt(scene), self.characters)

    def motion_of(self, scene: Scene) -> str:
        """The prompt of the scene's clip, with descriptions of characters in place of names in braces."""
        return described(scene.motion, self.characters)

    def subject_of(self, scene: Scene) -> str:
        """The prompt as people read it, with names of characters; or what is said, if it is left to write."""
        if scene.is_unwritten and scene.text:
            return scene.text
        return with_names(scene.prompt, self.characters)

    def _still_prompt(self, scene: Scene) -> str:
        parts = [scene.prompt.rstrip(". ,"), self.style]
        speaker = scene.character if scene.kind_of == "talking" and scene.prompt else ""
        is_shown = speaker in mentioned_in(scene.prompt, self.characters)
        if speaker and not is_shown and self.characters[speaker].description:
            parts.insert(0, f"{{{speaker}}}")
        return ", ".join(filter(None, parts))


def parse(data: Any, default_id: str = "story") -> Story:
    """A story from JSON-like data, or from the endpoint's `{"input": {"task": "batch", ...}}`.

    Args:
        data: the data.
        default_id: `project_id` if the data has none.

    Raises:
        Problems: all errors, each with its place.
    """
    return parse_document(Document(data, Place(0), []), default_id)


def load(path: Path) -> Story:
    """Reads a story from a YAML or JSON file.

    Raises:
        Problems: the file cannot be read, or all errors in it, each with its line.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Problems([Problem(str(path), f"cannot be read: {error.strerror}.")]) from None
    try:
        text = decode(content)
    except Unreadable as error:
        raise Problems([_in(path, error.problem)]) from None
    return read(text, path)


def read(text: str, path: Path) -> Story:
    """Like `load`, from text; the path is for messages and the default `project_id`."""
    default_id = re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem).strip("-._")[:64] or "story"
    try:
        return parse_document(_read(text, is_json=path.suffix.lower() == ".json"), default_id)
    except Unreadable as error:
        raise Problems([_in(path, error.problem)]) from None
    except Problems as error:
        raise Problems(_in(path, problem) for problem in error.problems) from None


def _in(path: Path, problem: Problem) -> Problem:
    return Problem(f"{path}: {problem.where}" if problem.where else str(path), problem.what)


def _read(text: str, is_json: bool) -> Document:
    """A text as JSON, or else as YAML, whichever its name says: much that looks like JSON is YAML only."""
    begin = text.lstrip()[:1]
    try:
        if is_json or begin in ("{", "["):
            return read_json(text)
    except TooLarge:
        raise
    except Unreadable as in_json:
        try:
            return read_yaml(text)
        except Unreadable:
            if is_json or re.match(r'\s*[\[{]\s*["\[{/]', text):
                raise in_json from None
            raise
    return read_yaml(text)


def parse_document(document: Document, default_id: str) -> Story:
    """Like `parse`, of data whose places in a file are known. Raises Problems: all errors and lines."""
    data, place, problems = document.value, document.place, document.problems
    if isinstance(data, dict) and isinstance(data.get("input"), dict):
        data, place = data["input"], place.inside.get("input", place)
    if not isinstance(data, dict):
        raise Problems([*problems, Problem("", _not_a_story(data))])
    data = {"project_id": default_id, **data}
    if data.pop("task", "batch") != "batch":
        what = "only a request with task `batch` is a story: change it, or leave it out."
        line = place.inside["task"].line if "task" in place.inside else 0
        problems = [*problems, Problem(f"task (line {line})" if line else "task", what)]
    try:
        story = Story.model_validate(data)
    except ValidationError as error:
        problems = [*problems, *problems_of(error, Story, place)]
    else:
        if not problems:
            return story
    raise Problems(problems)


def _not_a_story(data: Any) -> str:
    see = "A story is a mapping with a list of `scenes`: see workflows/demo/story.yaml."
    if data is None:
        return f"is empty. {see}"
    return f"is a list: write `scenes:` above it. {see}" if isinstance(data, list) else see
