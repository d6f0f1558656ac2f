"""A scene of a story file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from .film_settings import Join
from .part import MAX_PROMPT, Id, Language, Part, Prompt, Seed, Take, is_number

DEFAULT_VIDEO_PROMPT = "Person speaking naturally"
DEFAULT_MOTION = "Slow camera movement, gentle natural motion, nobody speaks, mouths stay closed"
"""The `video_prompt` of scenes in which no lips move."""
UNWRITTEN = "FILL IN"
"""How a prompt or a description begins that is left to be written."""
_MAX_ID = 60
"""Characters of a dialogue's id: its shots have a number behind it."""
_WORDS_OF_SHOT = 60
"""Characters, at most, that a shot's prompt has besides that of its dialogue and the names of characters."""
SceneKind = Literal["talking", "narrated", "silent", "clip"]


class Line(Part):
    """What one speaker says in a dialogue: a shot of the film."""

    character: str = Field(
        default="", max_length=64, description="Who speaks, a key of `characters`; nobody for a narrator."
    )
    text: Prompt = Field(default="", description="What is said; spoken by the character's voice.")
    audio: str | None = Field(
        default=None, min_length=1, description="A recording of the line, a path or a URL, instead."
    )
    prompt: Prompt = Field(
        default="", description="What the image shows, instead of the speaker in the scene's place."
    )
    image: str | None = Field(default=None, min_length=1, description="Your own image: a path or a URL.")
    video_prompt: Prompt = Field(default="", description="What happens in the clip; else as in the scene.")
    translations: dict[Language, Prompt] = Field(
        default={}, description="What is said in further languages, by their tags, for more captions."
    )
    pause_after: float | None = Field(
        default=None, ge=0, le=10, description="Seconds until the next line; 0.2 if left out."
    )
    seed: Seed | None = None
    still_take: Take | None = Field(default=None, description="The key of an earlier still to use.")
    clip_take: Take | None = Field(default=None, description="The key of an earlier clip to use.")
    other_names = {"audio_url": "audio", "image_url": "image", "speaker": "character"}

    @model_validator(mode="before")
    @classmethod
    def _accept_api_names(cls, value: Any) -> Any:
        return _renamed(value, cls.other_names)

    @model_validator(mode="after")
    def _needs_words(self) -> Line:
        if not self.text and not self.audio:
            raise ValueError("needs a `text` to speak, or a recording of it as `audio`.")
        return self


class Scene(Part):
    """One scene.

    It is *talking* (an image and a voice that moves its lips), *narrated* (the voice plays over a moving
    image), *silent* (`seconds` without a voice), your own *clip*, or a dialogue of several `lines`.
    """

    id: Id
    prompt: Prompt = Field(default="", description="What the image shows.")
    kind: SceneKind | None = Field(
        default=None,
        description="narrated: no lips move while the voice plays. Otherwise it follows from the scene: "
        "silent with `seconds`, clip with `clip`, else talking.",
    )
    audio: str | None = Field(
        default=None,
        min_length=1,
        description="The voice recording: a path beside the story, or an http(s) URL. Left out: `text` is "
        "spoken.",
    )
    text: Prompt = Field(
        default="",
        description="What is said, for captions. Without `audio` it is also spoken; in your own clip only "
        "with `mute`.",
    )
    lines: list[Line] = Field(
        default=[],
        max_length=200,
        description="A dialogue, instead of `text` and `audio`: a shot for each line, cut between speakers.",
    )
    establishing: float | None = Field(
        default=None,
        ge=0,
        le=30,
        description="Seconds of a dialogue's first shot, which shows all speakers; 2 if left out and there "
        "are several, 0 for none.",
    )
    character: str = Field(
        default="", max_length=64, description="Who speaks, a key of `characters`: chooses the voice."
    )
    seconds: float | None = Field(
        default=None, ge=0.2, le=600, description="Length of a silent scene in seconds."
    )
    clip: str | None = Field(
        default=None, min_length=1, description="Your own clip, a path or a URL, instead of a rendered one."
    )
    start: float | None = Field(
        default=None, alias="from", ge=0, description="Where your own clip begins, in its seconds."
    )
    end: float | None = Field(
        default=None, alias="to", gt=0, description="Where your own clip ends, in its seconds."
    )
    mute: bool = Field(default=False, description="Leaves out the sound of your own clip.")
    image: str | None = Field(None, description="Your own image instead of a rendered one: a path or a URL.")
    video_prompt: Prompt = Field(default=DEFAULT_VIDEO_PROMPT, description="What happens in the clip.")
    translations: dict[Language, Prompt] = Field(
        default={}, description="What is said in further languages, by their tags, for more captions."
    )
    title: str = Field(default="", max_length=200, description="Title of the scene's chapter.")
    continues: bool = Field(
        default=False, description="Whether it belongs to the chapter of the scene before it."
    )
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
    other_names = {
        "scene": "id",
        "audio_url": "audio",
        "image_url": "image",
        "clip_url": "clip",
        "speaker": "character",
    }
    _place: str = PrivateAttr(default="")
    _dialogue: str = PrivateAttr(default="")

    @property
    def place(self) -> str:
        """Where it stands in the story file, for messages: `scenes[3]`; a shot: `scenes[3].lines[1]`."""
        return self._place

    @property
    def dialogue(self) -> str:
        """The id of the dialogue that it is a shot of; empty if it is none."""
        return self._dialogue

    @property
    def kind_of(self) -> SceneKind:
        """Its kind, written or not."""
        if self.kind:
            return self.kind
        return "clip" if self.clip else "silent" if self.seconds is not None else "talking"

    @property
    def motion(self) -> str:
        """The prompt of its clip; where nobody is to speak, that of a speaking person is no default."""
        if self.video_prompt != DEFAULT_VIDEO_PROMPT or self.kind_of == "talking":
            return self.video_prompt
        return DEFAULT_MOTION

    @property
    def is_spoken(self) -> bool:
        """Whether a voice has to be made for its text."""
        if not self.text or self.audio or self.kind_of == "silent":
            return False
        # The text of your own clip is the caption of its sound, unless that is left out.
        return self.mute or self.kind_of != "clip"

    @property
    def is_unwritten(self) -> bool:
        """Whether its prompt is left to be written."""
        # In a shot of a dialogue, the scene's prompt is only a part.
        return self.prompt.startswith(UNWRITTEN) or f"{UNWRITTEN}:" in self.prompt

    @model_validator(mode="before")
    @classmethod
    def _accept_api_names(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        value = dict(value)
        if "scene" in value and "id" not in value:
            number = value.pop("scene")
            # Anything else is refused as an id is.
            value["id"] = f"scene_{number}" if is_number(number) or isinstance(number, str) else number
        if is_number(value.get("id")):
            value["id"] = str(value["id"])
        return _renamed(value, {name: ours for name, ours in cls.other_names.items() if ours != "id"})

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Scene:
        if faults := list(self._faults()):
            raise ValueError(" Also, it ".join(faults))
        return self

    def _faults(self) -> Iterator[str]:
        kind = self.kind_of
        if self.lines:
            yield from self._faults_of_dialogue()
        elif kind in ("talking", "narrated"):
            if not (self.audio or self.text):
                yield (
                    "needs a voice: `audio` (a recording) or `text` (to be spoken); or `seconds` for a "
                    "silent scene, or your own `clip`."
                )
            if self.seconds is not None:
                yield (
                    f"is {kind} and has `seconds`, which a silent scene has: this one is as long as its "
                    "voice; `pause_after` lengthens it."
                )
        elif kind == "silent":
            if self.seconds is None:
                yield "is silent and needs `seconds`, its length."
            if self.audio:
                yield (
                    "is silent and has `audio`: leave out `seconds` and `kind`, or write `kind: narrated`."
                )
        elif self.clip is None:
            yield "is of the kind clip and needs `clip`, the file of your own clip."
        elif self.seconds is not None:
            yield "has a `clip` and `seconds`: trim your clip with `from` and `to`."
        yield from self._faults_of_clip()
        if self.establishing is not None and not self.lines:
            yield "has `establishing`, which belongs to a dialogue: write its `lines`, or leave it out."
        if not self.prompt and not self.image and not self.clip:
            yield "needs a `prompt`, or its own `image`."

    def _faults_of_dialogue(self) -> Iterator[str]:
        names = ("audio", "text", "translations", "character", "seconds", "clip", "still_take", "clip_take")
        if extra := [f"`{name}`" for name in names if getattr(self, name) not in (None, "", {})]:
            yield f"has `lines` and {', '.join(extra)}: a line has its own, so leave it out here."
        if len(self.id) > _MAX_ID:
            yield f"has an id of more than {_MAX_ID} characters, too many for a dialogue: shorten it."
        speakers = {line.character for line in self.lines}
        most = MAX_PROMPT - _WORDS_OF_SHOT - sum(len(f" and {{{speaker}}}") for speaker in speakers)
        if len(self.prompt) > most:
            yield f"has a prompt of more than {most} characters, too many for a dialogue: shorten it."
        if self.kind in ("silent", "clip"):
            yield f"has `lines` and is of the kind {self.kind}: leave out one of the two."

    def _faults_of_clip(self) -> Iterator[str]:
        if self.clip is None:
            names = {"from": self.start is not None, "to": self.end is not None, "mute": self.mute}
            if extra := [f"`{name}`" for name, is_there in names.items() if is_there]:
                yield f"has {', '.join(extra)} and no `clip` that this is about: leave it out."
        elif self.kind not in (None, "clip"):
            yield f"has a `clip` and is of the kind {self.kind}: leave out one of the two."
        elif self.end is not None and self.end <= (self.start or 0):
            yield f"ends (`to: {self.end:g}`) before it begins (`from: {self.start or 0:g}`)."


def _renamed(value: Any, other_names: dict[str, str]) -> Any:
    """Data with our names of the fields."""
    if not isinstance(value, dict):
        return value
    value = dict(value)
    for theirs, ours in other_names.items():
        if theirs in value:
            if ours in value:
                raise ValueError(f"has both `{ours}` and `{theirs}`: keep one of them.")
            value[ours] = value.pop(theirs)
    return value
