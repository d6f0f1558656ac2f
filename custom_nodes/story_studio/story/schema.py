"""The story file, YAML or JSON; the endpoint's batch JSON is also one."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from .file_text import MAX_BYTES, decode
from .film_settings import FilmSettings, Join, Language
from .messages import problems_of
from .part import Part
from .places import Document, Place, TooLarge, Unreadable
from .problems import Problem, Problems
from .read_json import read_json
from .read_yaml import read_yaml
from .results import KEY, STORE

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
MAX_SEED = 2**63 - 1
DEFAULT_VIDEO_PROMPT = "Person speaking naturally"
_SIZES = {"480p": (832, 480), "720p": (1280, 720)}

Id = Annotated[str, Field(pattern=ID_PATTERN, description="Letters, digits, `_`, `.` and `-`; at most 64.")]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED, description="The same seed gives the same result.")]
Take = Annotated[str, Field(pattern=f"^{KEY}$")]
Prompt = Annotated[str, Field(max_length=10_000)]


def _check_resolution(value: str) -> str:
    width, height = _size(value)
    if not (64 <= width <= 4096 and 64 <= height <= 4096):
        raise ValueError("both sides must be between 64 and 4096.")
    return value


Resolution = Annotated[
    str,
    AfterValidator(_check_resolution),
    Field(description="480p, 720p or WIDTHxHEIGHT; the product limits the pixels of a frame."),
]


class ImageSettings(Part):
    """How stills are rendered. What is left out comes from the profile or the recipe."""

    width: int | None = Field(
        default=None, ge=64, le=2048, multiple_of=16, description="Pixels, a multiple of 16."
    )
    height: int | None = Field(
        default=None, ge=64, le=2048, multiple_of=16, description="Pixels, a multiple of 16."
    )
    steps: int | None = Field(default=None, ge=1, le=200, description="Sampling steps.")
    cfg: float | None = Field(
        default=None, ge=1, le=30, description="Guidance scale; 1 ignores the negative prompt."
    )
    negative_prompt: Prompt | None = Field(default=None, description="What to avoid in all stills.")
    workflow: str | None = Field(default=None, description="Your own still recipe: an API workflow file.")


class VideoSettings(Part):
    """How clips are rendered. What is left out comes from the profile or the recipe."""

    resolution: Resolution = "480p"
    sample_steps: int | None = Field(default=None, ge=1, le=200, description="Sampling steps.")
    cfg: float | None = Field(
        default=None, ge=1, le=30, description="Guidance scale; 1 ignores the negative prompt."
    )
    negative_prompt: Prompt | None = Field(default=None, description="What to avoid in all clips.")
    workflow: str | None = Field(default=None, description="Your own clip recipe: an API workflow file.")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, whose product limits the pixels of a frame."""
        return _size(self.resolution)


class Scene(Part):
    """One scene: a prompt, or your own image, and a voice recording."""

    id: Id
    prompt: Prompt = Field(default="", description="What the image shows.")
    audio: str = Field(
        min_length=1, description="The voice recording: a path beside the story, or an http(s) URL."
    )
    image: str | None = Field(None, description="Your own image instead of a rendered one: a path or a URL.")
    video_prompt: Prompt = Field(default=DEFAULT_VIDEO_PROMPT, description="What happens in the clip.")
    text: Prompt = Field(default="", description="What is said, for captions.")
    translations: dict[Language, Prompt] = Field(
        default={}, description="What is said in further languages, by their tags, for more captions."
    )
    title: str = Field(default="", max_length=200, description="Title of the scene's chapter.")
    transition: Join | None = Field(
        default=None, description="How the next scene follows: cut, crossfade or dip; else as in the film."
    )
    pause_after: float | None = Field(
        default=None, ge=0, le=10, description="Seconds until the next scene; else as in the film."
    )
    music: bool = Field(default=True, description="Whether the film's music plays in this scene.")
    seed: Seed | None = None
    still_take: Take | None = Field(None, description="The key of an earlier still to use.")
    clip_take: Take | None = Field(None, description="The key of an earlier clip to use.")
    other_names = {"scene": "id", "audio_url": "audio", "image_url": "image"}

    @model_validator(mode="before")
    @classmethod
    def _accept_api_names(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        value = dict(value)
        if "scene" in value and "id" not in value:
            number = value.pop("scene")
            # Anything else is refused as an id is.
            value["id"] = f"scene_{number}" if _is_number(number) or isinstance(number, str) else number
        if _is_number(value.get("id")):
            value["id"] = str(value["id"])
        for ours, theirs in (("audio", "audio_url"), ("image", "image_url")):
            if theirs in value:
                if ours in value:
                    raise ValueError(f"has both `{ours}` and `{theirs}`: keep one of them.")
                value[ours] = value.pop(theirs)
        return value

    @model_validator(mode="after")
    def _needs_an_image(self) -> Scene:
        if not self.prompt and not self.image:
            raise ValueError("needs a `prompt`, or its own `image`.")
        return self


class Story(Part):
    """A story: scenes in order, and how to render them."""

    project_id: Id
    title: str = Field(default="", max_length=200)
    profile: str = Field(default="standard", description="draft, turbo, standard or quality.")
    style: Prompt = Field(default="", description="Appended to the prompt of every scene.")
    seed: Seed = 0
    language: Language | None = Field(default=None, description="The language of the scenes' `text`.")
    scenes: list[Scene] = Field(min_length=1, max_length=500, description="The scenes in order.")
    image_settings: ImageSettings = Field(default_factory=ImageSettings)
    video_settings: VideoSettings = Field(default_factory=VideoSettings)
    film: FilmSettings | None = Field(
        default_factory=FilmSettings, description="How the clips are joined to a film; false for no film."
    )

    @field_validator("film", mode="before")
    @classmethod
    def _film_or_none(cls, value: Any) -> Any:
        return (FilmSettings() if value else None) if isinstance(value, bool) else value

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

    def seed_of(self, scene: Scene) -> int:
        """The scene's own seed, or one derived from the story's seed and the scene's id, not its position."""
        return (
            scene.seed if scene.seed is not None else (self.seed + zlib.crc32(scene.id.encode())) & MAX_SEED
        )

    def prompt_of(self, scene: Scene) -> str:
        """The prompt of the scene's still, with the style of the story."""
        return ", ".join(part for part in (scene.prompt.rstrip(". ,"), self.style) if part)


def parse(data: Any, default_id: str = "story") -> Story:
    """A story from JSON-like data, or from the endpoint's `{"input": {"task": "batch", ...}}`.

    Args:
        data: the data.
        default_id: `project_id` if the data has none.

    Raises:
        Problems: all errors, each with its place.
    """
    return _parse(Document(data, Place(0), []), default_id)


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
        return _parse(_read(text, is_json=path.suffix.lower() == ".json"), default_id)
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


def _parse(document: Document, default_id: str) -> Story:
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


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _size(resolution: str) -> tuple[int, int]:
    if resolution in _SIZES:
        return _SIZES[resolution]
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", resolution)
    if not match:
        raise ValueError(f"{resolution!r} is not a resolution: use 480p, 720p or WIDTHxHEIGHT.")
    return int(match[1]), int(match[2])
