"""The sections of a story file that say how stills, clips and voices are made."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from .formats import SHAPES
from .keys import RETAKES
from .part import Language, Part, Prompt, Seed, Take
from .scene import UNWRITTEN

MAX_RETAKES = len(RETAKES)


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


class Lora(Part):
    """A LoRA: a small addition to a model that knows a face or a style."""

    file: str = Field(
        min_length=1, max_length=255, description="A file below models/loras, such as mara.safetensors."
    )
    strength: float = Field(default=1.0, ge=-10, le=10, description="1 as trained; 0 has no effect.")

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"file": value} if isinstance(value, str) else value

    @field_validator("file")
    @classmethod
    def _below_folder(cls, value: str) -> str:
        parts = PurePosixPath(value.replace("\\", "/")).parts
        if ".." in parts or value.startswith(("/", "\\")) or re.match("[A-Za-z]:", value):
            raise ValueError(f"{value!r} is outside models/loras: name a file in it or in its subfolders.")
        return value


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
    loras: list[Lora] = Field(default=[], max_length=16, description="LoRAs for all stills, in this order.")
    workflow: str | None = Field(default=None, description="Your own still recipe: an API workflow file.")
    reference_workflow: str | None = Field(
        default=None,
        description="The recipe of stills that show a character by its reference image: a shipped one, such "
        "as qwen_image_edit_still.json, or your own API workflow file with `$reference`.",
    )


class VideoSettings(Part):
    """How clips are rendered. What is left out comes from the profile or the recipe."""

    resolution: Resolution = "480p"
    sample_steps: int | None = Field(default=None, ge=1, le=200, description="Sampling steps.")
    cfg: float | None = Field(
        default=None, ge=1, le=30, description="Guidance scale; 1 ignores the negative prompt."
    )
    negative_prompt: Prompt | None = Field(default=None, description="What to avoid in all clips.")
    workflow: str | None = Field(default=None, description="Your own clip recipe: an API workflow file.")
    narrated_workflow: str | None = Field(
        default=None,
        description="The recipe of narrated and silent scenes: a shipped one, such as wan22_i2v_clip.json, "
        "or your own API workflow file. Left out: a slow camera move over the still.",
    )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of frames in landscape, whose product limits the pixels of a frame."""
        return _size(self.resolution)


class VoiceSettings(Part):
    """How texts without a recording are spoken."""

    voice: str = Field(
        default="", max_length=200, description="A voice's name, as `story-studio voices` lists them."
    )
    speed: float = Field(default=1.0, ge=0.5, le=2.0, description="2 speaks twice as fast.")
    workflow: str | None = Field(
        default=None,
        description="Your own voice recipe, an API workflow file with `$text` and `$audio`, for any "
        "text-to-speech node pack.",
    )


class Quality(Part):
    """Whether finished clips are checked, and what is done about those that fail."""

    check: bool = Field(
        default=True,
        description="Measures every clip that a model made: lips, face, frames, colours and voice. Drafts "
        "and your own clips are not measured.",
    )
    retakes: int = Field(
        default=0,
        ge=0,
        le=MAX_RETAKES,
        description="How often a clip that fails is made again, each time with another seed.",
    )
    keep: Literal["best"] = Field(
        default="best",
        description="Which take is shown: the first that does not fail, or the best. No take is deleted.",
    )

    @model_validator(mode="after")
    def _retakes_need_checks(self) -> Quality:
        if self.retakes and not self.check:
            raise ValueError(
                "retakes are made of clips that fail a check, and `check` is off: turn it on, or set "
                "`retakes` to 0."
            )
        return self


class Character(Part):
    """Somebody who is the same in all scenes. `{key}` in a prompt stands for the description."""

    name: str = Field(default="", max_length=100, description="As cards show it; the key if left out.")
    description: Prompt = Field(
        default="", description="What the character looks like: age, face, hair, clothes."
    )
    reference: str | None = Field(
        default=None,
        min_length=1,
        description="An image of the character, a path or a URL, for recipes that take references. Left out: "
        "a character sheet is made from the description.",
    )
    reference_take: Take | None = Field(
        default=None, description="The key of the character sheet to use, as `story-studio takes` lists it."
    )
    seed: Seed | None = Field(default=None, description="Of the character sheet.")
    loras: list[Lora] = Field(
        default=[], max_length=16, description="LoRAs for the stills that show the character."
    )
    voice: str = Field(default="", max_length=200, description="The voice that speaks the character's lines.")
    language: Language | None = Field(
        default=None, description="The language of the character's lines; else that of the story."
    )

    @property
    def is_unwritten(self) -> bool:
        """Whether its description is left to be written."""
        return self.description.startswith(UNWRITTEN)


def _size(resolution: str) -> tuple[int, int]:
    if resolution in SHAPES:
        return SHAPES[resolution]["16:9"]
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", resolution)
    if not match:
        raise ValueError(f"{resolution!r} is not a resolution: use 480p, 720p or WIDTHxHEIGHT.")
    return int(match[1]), int(match[2])
