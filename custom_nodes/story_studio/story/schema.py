"""The story file, YAML or JSON; the endpoint's batch JSON is also one."""

from __future__ import annotations

import contextlib
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from .problems import Problem, Problems, nearest
from .results import KEY, STORE

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
MAX_SEED = 2**63 - 1
DEFAULT_VIDEO_PROMPT = "Person speaking naturally"
_MAX_LINES = 20_000
"""The most places whose lines are recorded for messages; YAML aliases can multiply them without limit."""
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


class Part(BaseModel):
    """A part of a story file or request; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


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


class FilmSettings(Part):
    """How the clips are joined to a film."""

    join: Literal["cut", "crossfade"] = Field(default="cut", description="How scenes are joined.")
    crossfade_seconds: float = Field(
        default=0.5, ge=0.1, le=3, description="Duration of a crossfade in seconds."
    )
    chapters: bool = Field(default=True, description="A chapter for each scene.")
    captions: bool = Field(
        default=True, description="Captions from the scenes' `text`; viewers turn them on in the player."
    )
    partial: bool = Field(
        default=False, description="Render the film without failed scenes, instead of not at all."
    )


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
    title: str = Field(default="", max_length=200, description="Title of the scene's chapter.")
    seed: Seed | None = None
    still_take: Take | None = Field(None, description="The key of an earlier still to use.")
    clip_take: Take | None = Field(None, description="The key of an earlier clip to use.")

    @model_validator(mode="before")
    @classmethod
    def _accept_api_names(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        value = dict(value)
        if "scene" in value and "id" not in value:
            value["id"] = f"scene_{value.pop('scene')}"
        if isinstance(value.get("id"), int):
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
    scenes: list[Scene] = Field(min_length=1, max_length=500)
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
        ids = [scene.id.lower() for scene in scenes]
        duplicates = sorted({scene.id for scene in scenes if ids.count(scene.id.lower()) > 1})
        if duplicates:
            raise ValueError(
                f"the ids {', '.join(duplicates)} are used more than once: give each scene its own id."
            )
        return scenes

    def seed_of(self, scene: Scene) -> int:
        """The scene's own seed, or one derived from the story's seed and the scene's id, not its position."""
        return (
            scene.seed if scene.seed is not None else (self.seed + zlib.crc32(scene.id.encode())) & MAX_SEED
        )

    def prompt_of(self, scene: Scene) -> str:
        """The prompt of the scene's still, with the style of the story."""
        return ", ".join(part for part in (scene.prompt.rstrip(". ,"), self.style) if part)


def parse(data: Any, default_id: str = "story", lines: dict[str, int] | None = None) -> Story:
    """A story from JSON-like data, or from the endpoint's `{"input": {"task": "batch", ...}}`.

    Args:
        data: the data.
        default_id: `project_id` if the data has none.
        lines: the line of each place, for messages.

    Raises:
        Problems: all errors, each with its place.
    """
    if isinstance(data, dict) and isinstance(data.get("input"), dict):
        data = data["input"]
    if not isinstance(data, dict):
        raise Problems(
            [Problem("", "A story is a mapping with a list of `scenes`: see workflows/demo/story.yaml.")]
        )
    data = {"project_id": default_id, **data}
    if data.pop("task", "batch") != "batch":
        raise Problems(
            [Problem("task", "only a request with task `batch` is a story: change it, or leave it out.")]
        )
    try:
        return Story.model_validate(data)
    except ValidationError as error:
        raise Problems(problem_of(detail, lines or {}) for detail in error.errors()) from None


def load(path: Path) -> Story:
    """Reads a story from a YAML or JSON file.

    Raises:
        Problems: the file cannot be read, or all errors in it, each with its line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Problems([Problem(str(path), f"cannot be read: {error.strerror}.")]) from None
    except UnicodeDecodeError as error:
        raise Problems([Problem(str(path), f"is neither YAML nor JSON: {error}")]) from None
    return read(text, path)


def read(text: str, path: Path) -> Story:
    """Like `load`, from text; the path is for messages and the default `project_id`."""
    try:
        data, lines = _read(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise Problems([Problem(str(path), f"is neither YAML nor JSON: {error}")]) from None
    default_id = re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem).strip("-._")[:64] or "story"
    try:
        return parse(data, default_id, lines)
    except Problems as error:
        raise Problems(
            Problem(f"{path}: {where}" if where else str(path), what) for where, what in error.problems
        ) from None


def _read(text: str) -> tuple[Any, dict[str, int]]:
    """The data of a YAML or JSON text, and the line of each place."""
    lines: dict[str, int] = {}
    try:
        # Some JSON is not valid YAML, for example with tabs; its lines stay unknown.
        data = json.loads(text)
        with contextlib.suppress(yaml.YAMLError):
            _record_lines(yaml.compose(text, yaml.SafeLoader), "", lines)
    except json.JSONDecodeError:
        data = yaml.safe_load(text)
        _record_lines(yaml.compose(text, yaml.SafeLoader), "", lines)
    return data, lines


def _size(resolution: str) -> tuple[int, int]:
    if resolution in _SIZES:
        return _SIZES[resolution]
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", resolution)
    if not match:
        raise ValueError(f"{resolution!r} is not a resolution: use 480p, 720p or WIDTHxHEIGHT.")
    return int(match[1]), int(match[2])


def _record_lines(node: yaml.Node | None, where: str, lines: dict[str, int]) -> None:
    if node is None or len(lines) > _MAX_LINES:
        return
    lines[where.removeprefix("input.")] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _record_lines(value, f"{where}.{key.value}".lstrip("."), lines)
            lines[f"{where}.{key.value}".lstrip(".").removeprefix("input.")] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _record_lines(value, f"{where}[{index}]", lines)


def problem_of(detail: Any, lines: dict[str, int], root: type[BaseModel] = Story) -> Problem:
    """Translates one of pydantic's errors for the author of the data.

    Args:
        detail: an element of ValidationError.errors().
        lines: the line of each place, as far as known.
        root: the model that was validated.
    """
    where = ""
    for part in detail["loc"]:
        where += f"[{part}]" if isinstance(part, int) else f".{part}"
    where = where.lstrip(".")
    what = detail["msg"].removeprefix("Value error, ")
    value = repr(str(detail["input"])[:80])
    if detail["type"] == "extra_forbidden":
        what = f"unknown key, {nearest(str(detail['loc'][-1]), _known_keys(root, detail['loc'][:-1]))}"
    elif detail["type"] == "missing":
        field = _model_at(root, detail["loc"][:-1]).model_fields.get(str(detail["loc"][-1]))
        what = "is missing: " + ((field.description if field else None) or "add it.")
    elif detail["type"] == "string_pattern_mismatch" and where.endswith("_take"):
        what = f"{value} is not a take: use the 24 digits that `story-studio takes` lists."
    elif detail["type"] == "string_pattern_mismatch":
        what = f"{value} is not a valid id: use letters, digits, `_`, `.` and `-`, 64 at most."
    elif not detail["msg"].startswith("Value error"):
        what = f"{value} is not valid: {what[0].lower()}{what[1:]}."
    line = lines.get(where) or lines.get(where.rpartition(".")[0])
    return Problem(f"{where} (line {line})" if line else where, what)


def _model_at(root: type[BaseModel], location: tuple) -> type[BaseModel]:
    model = root
    for part in location:
        field = model.model_fields.get(str(part))
        model = next(_models_in(field.annotation), model) if field else model
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _known_keys(root: type[BaseModel], location: tuple) -> set[str]:
    model = _model_at(root, location)
    return {*model.model_fields} | ({"scene", "audio_url", "image_url"} if model is Scene else set())
