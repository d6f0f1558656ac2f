"""The film section of a story file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from .formats import AS_RENDERED, FORMATS, INTERPOLATIONS, RATES, format_of
from .part import Language, Part

LOUDNESS = -16.0
"""LUFS; the usual level of narration and podcasts."""
Join = Literal["cut", "crossfade", "dip"]
Side = Annotated[int, Field(ge=64, le=4096, multiple_of=2)]
UPSCALES = ("lanczos",)
MODEL = "model"
"""Stands for the shipped recipe with a model."""
WAYS = frozenset((*INTERPOLATIONS, *UPSCALES, MODEL))
"""What names no file of a story's own."""


def _rate(value: int) -> int:
    if value not in RATES:
        raise ValueError(f"{value} is not a film's frame rate: use 24, 25 or 30, or leave it out.")
    return value


def _loudness(value: Any) -> Any:
    """The loudness, or False for none; True is the usual one."""
    if isinstance(value, bool):
        return LOUDNESS if value else False
    try:
        loudness = float(value)
    except (TypeError, ValueError, OverflowError):
        loudness = 0.0
    if not -30 <= loudness <= -10:
        raise ValueError(
            f"{str(value)[:80]!r} is not a loudness: use -16 or -14 (LUFS), anything from -30 to -10, or "
            "false."
        )
    return loudness


def _way(value: str, names: tuple[str, ...]) -> str:
    """The name of a way to make frames, or the file of a frames recipe."""
    if value.lower() in (*names, MODEL):
        return value.lower()
    if not value.lower().endswith(".json"):
        raise ValueError(
            f"{value[:80]!r} is not known: use {', '.join(names)} or {MODEL}, or the file of your own "
            "frames recipe (an API workflow, .json)."
        )
    return value


class Music(Part):
    """The music below the whole film."""

    file: str = Field(min_length=1, description="The music: a path beside the story, or an http(s) URL.")
    level: float = Field(default=-18.0, ge=-60, le=0, description="Decibels relative to the voices.")
    fade_seconds: float = Field(default=2.0, ge=0, le=30, description="Fade in and out, in seconds.")
    duck: bool = Field(default=True, description="Whether it is lowered while somebody speaks.")


class BurnedCaptions(Part):
    """Captions as part of the frames, for players that show no others."""

    style: Literal["clean", "boxed", "words"] = Field(
        default="clean", description="clean, boxed, or words: the spoken word is highlighted."
    )
    font: str = Field(default="", max_length=100, description="Name of a font that is installed.")
    size: float = Field(
        default=0.0,
        ge=0,
        le=0.15,
        description="Size of the letters as a part of the shorter side; 0 chooses one for the film's shape.",
    )
    position: Literal["bottom", "middle", "top"] = "bottom"
    language: Language | None = Field(
        default=None, description="One of the scenes' `translations`; the texts themselves if left out."
    )


class FilmSettings(Part):
    """How the clips are joined to a film."""

    format: Annotated[str, AfterValidator(format_of)] = Field(
        default=AS_RENDERED, description=f"{AS_RENDERED}, {', '.join(FORMATS)}."
    )
    width: Side | None = Field(default=None, description="Pixels, even; instead of the format's.")
    height: Side | None = Field(default=None, description="Pixels, even; instead of the format's.")
    fps: Annotated[int, AfterValidator(_rate)] | None = Field(
        default=None, description="Frames a second: 24, 25 or 30. That of the clips if left out."
    )
    fit: Literal["letterbox", "blur"] = Field(
        default="letterbox", description="What surrounds clips of another shape: black, or a blurred fill."
    )
    interpolation: Annotated[str, AfterValidator(lambda value: _way(value, INTERPOLATIONS))] = Field(
        default="motion",
        description="Where the frames between come from: motion (compensated), blend, repeat, model, or your "
        "own frames recipe, an API workflow file.",
    )
    upscale: Annotated[str, AfterValidator(lambda value: _way(value, UPSCALES))] = Field(
        default="lanczos",
        description="How clips are enlarged: lanczos, model, or your own frames recipe, an API workflow "
        "file.",
    )
    match_color: bool = Field(
        default=False, description="Corrects the colours of clips that drift away from their first frames."
    )
    codec: Literal["h264", "h265", "av1"] = Field(default="h264", description="The codec of the video.")
    join: Join = Field(default="cut", description="How scenes are joined; dip fades through black.")
    crossfade_seconds: float = Field(
        default=0.5, ge=0.1, le=3, description="Duration of a crossfade or dip in seconds."
    )
    fade_seconds: float = Field(
        default=0.0,
        ge=0,
        le=5,
        description="Fade from black at the start and to black at the end, in seconds.",
    )
    pause_after: float = Field(default=0.0, ge=0, le=10, description="Seconds between scenes.")
    opening: str | None = Field(
        default=None, max_length=200, description="Title on an opening card; true for the story's title."
    )
    credits: str | None = Field(default=None, max_length=2000, description="Lines on a card at the end.")
    card_seconds: float = Field(default=3.0, ge=0.5, le=30, description="Duration of a card in seconds.")
    loudness: Annotated[float | Literal[False], BeforeValidator(_loudness)] = Field(
        default=LOUDNESS,
        description="Loudness of the film in LUFS (EBU R 128), -30 to -10, with true peaks of -1 dBTP at "
        "most; false leaves the voices as they are.",
    )
    room_tone: bool = Field(default=True, description="Soft room tone between voices, instead of silence.")
    music: Music | None = Field(default=None, description="Music below the film.")
    chapters: bool = Field(default=True, description="A chapter for each scene.")
    captions: bool = Field(
        default=True, description="Captions from the scenes' `text`; viewers turn them on in the player."
    )
    burned_captions: BurnedCaptions | None = Field(
        default=None, description="Captions as part of the frames: clean, boxed, words, or a mapping."
    )
    partial: bool = Field(
        default=False, description="Render the film without failed scenes, instead of not at all."
    )

    @field_validator("opening", mode="before")
    @classmethod
    def _opening(cls, value: Any) -> Any:
        return ("" if value else None) if isinstance(value, bool) else value

    @field_validator("music", mode="before")
    @classmethod
    def _music(cls, value: Any) -> Any:
        return {"file": value} if isinstance(value, str) else None if value is False else value

    @field_validator("burned_captions", mode="before")
    @classmethod
    def _burned_captions(cls, value: Any) -> Any:
        if isinstance(value, bool):
            return {} if value else None
        return {"style": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _whole_size(self) -> FilmSettings:
        if (self.width is None) != (self.height is None):
            raise ValueError("has only one of `width` and `height`: give both, or a `format`.")
        return self

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels; None for the size of the clips."""
        return (self.width, self.height) if self.width and self.height else FORMATS.get(self.format)
