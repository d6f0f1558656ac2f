"""The cut of a film: what its own file says about its shots, captions and sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import av
from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from story_studio.story.results import REPORT_TAG

_Report = TypeVar("_Report", bound=BaseModel)


class Word(NamedTuple):
    """A word of a caption: when it is spoken, in seconds of the film."""

    start: float
    end: float
    text: str


class Cue(NamedTuple):
    """A caption: when it is shown, in seconds of the film, its lines joined by line feeds, and its words."""

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()


class Shot(BaseModel):
    """One clip's or card's place in a film; all lengths are frames of the film.

    Attributes:
        scene: its id; empty for a card.
        start: the first frame.
        frames: how long it is shown, with a held pause after the clip.
        clip_frames: how long without that pause.
        transition: to the next shot. A crossfade shows each shot beyond the cut by its held last or first
            frame; a dip is black in its middle.
        transition_frames: how long that lasts.
        transition_before: how much of that lies before the cut.
        music: whether the music plays.
        chapter: whether a chapter begins with it; if not, it belongs to the chapter before.
    """

    model_config = ConfigDict(extra="allow")
    kind: Literal["scene", "card"] = "scene"
    scene: str = ""
    title: str = ""
    start: int = 0
    frames: int = 0
    clip_frames: int = 0
    transition: Literal["cut", "crossfade", "dip"] = "cut"
    transition_frames: int = 0
    transition_before: int = 0
    music: bool = True
    chapter: bool = True


class Cut(BaseModel):
    """The cut of a film.

    Attributes:
        fps: frames in a second, an integer or a fraction such as `30000/1001`.
        captions: by their language as in BCP 47; empty if it is not known.
        sound: what was measured when the voices were mixed.
    """

    model_config = ConfigDict(extra="allow")
    version: int = 1
    width: int = 0
    height: int = 0
    fps: str = "0"
    frames: int = 0
    codec: str = ""
    shots: list[Shot] = []
    captions: dict[str, list[Cue]] = {}
    sound: dict[str, Any] | None = None

    @property
    def rate(self) -> Fraction:
        """Frames in a second; 0 if that is not stated."""
        try:
            return Fraction(self.fps)
        except (ValueError, ZeroDivisionError):
            return Fraction(0)

    @property
    def is_whole(self) -> bool:
        """Whether the shots follow one another from the first frame to the last."""
        position = 0
        for shot in self.shots:
            if shot.start != position or not 0 < shot.clip_frames <= shot.frames:
                return False
            position += shot.frames
        return position == self.frames > 0 and self.rate > 0


class ChunkDrift(BaseModel):
    """How far a chunk of a clip is from the clip's first second.

    Attributes:
        chunk: its index.
        delta_e: of its colours, CIE 1976.
        sharpness: as a ratio.
    """

    chunk: int
    delta_e: float
    sharpness: float


class Drift(BaseModel):
    """The drift of a clip's colours, and whether its master undoes it."""

    drift: list[ChunkDrift]
    corrected: bool


def read_cut(film: Path) -> Cut | None:
    """What a film's file says about its cut; None of a film of an earlier version."""
    return _read(film, Cut)


def read_drift(master: Path) -> Drift | None:
    """What a master's file says about its clip's drift; None if it was not measured."""
    return _read(master, Drift)


def _read(path: Path, model: type[_Report]) -> _Report | None:
    with av.open(str(path)) as container:
        text = container.metadata.get(REPORT_TAG, "")
    try:
        return model.model_validate_json(text)
    except ValidationError:
        return None


def _or_none(value: Any, validate: ValidatorFunctionWrapHandler) -> Cut | None:
    try:
        return validate(value)
    except ValidationError:
        return None


AnyCut = Annotated[Cut | None, WrapValidator(_or_none)]
"""A cut in a manifest; None if there is none that can be read, so that it hides no result."""
