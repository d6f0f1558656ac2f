"""Joining clips into one film, shot by shot, in memory that does not grow with its length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import av
import numpy as np

from ..files import written_aside
from . import captions as captioning
from .canvas import Canvas, canvas_of, differs
from .decoder import decode_audio, decode_frames
from .encoder import SAMPLE_RATE, Encoder, pad_or_cut
from .footage import Footage, read_footage
from .linebreak import shortened
from .mux import add_chapters_and_captions
from .probe import Progress
from .splice import can_splice, packets
from .text import clean, is_visible

_CRF = 16
_JOINT_FADE = round(0.004 * SAMPLE_RATE)
"""Samples over which audio fades at a joint, against clicks."""
_CHAPTER_BYTES = 255
"""What the title of a chapter can take in an MP4; ffmpeg cuts longer ones within a letter."""
_ENCODING_SHARE = 0.97
"""The part of the progress before chapters and captions are added."""


@dataclass(frozen=True)
class Shot:
    """One clip of a film: its file, the title of its chapter, and the spoken text for captions."""

    path: Path
    title: str = ""
    text: str = ""


def assemble(
    shots: Sequence[Shot],
    path: Path,
    *,
    join: Literal["cut", "crossfade"] = "cut",
    crossfade_seconds: float = 0.5,
    chapters: bool = True,
    captions: bool = True,
    title: str = "",
    size: tuple[int, int] | None = None,
    footage: Sequence[Footage] | None = None,
    metadata: dict[str, str] | None = None,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Joins shots to a film, an MP4 file.

    Shots of another size than the film's (see `canvas_of`) are scaled and letterboxed, those of another frame
    rate repeat or leave out frames. The film is as long as its shots together, and the audio of each shot is
    as long as its video. Plain cuts of clips with the same encoding are copied bit by bit; everything else is
    re-encoded.

    Args:
        shots: the clips in order.
        path: the film; an existing file is replaced at the end.
        join: `crossfade` blends each shot with the held first or last frame of its neighbour, centred on the
            cut and over at most half a shot; audio does not overlap.
        crossfade_seconds: duration of a crossfade.
        chapters: whether each shot is a chapter.
        captions: whether shots with text have captions, as a subtitle track that is off by default.
        title: title of the film.
        size: width and height of the story's clips, which the film has if its shots differ in size.
        footage: what is in the shots, if it is known.
        metadata: further tags of the file.
        progress: called with the fraction done, 0 to 1. It may raise to cancel; `path` is then unchanged.

    Raises:
        ValueError: there are no shots, or one has no video.
        FileNotFoundError: a clip is missing.
    """
    if not shots:
        raise ValueError("A film needs at least one shot: add a scene.")
    film = _plan(shots, footage or footage_of(shots), size, crossfade_seconds if join == "crossfade" else 0)
    tags = ({"title": clean(title)} if is_visible(title) else {}) | (metadata or {})
    report = progress or (lambda done: None)
    chapter_spans = (
        [(*film.span(i), _chapter_title(shot, i)) for i, shot in enumerate(shots)] if chapters else []
    )
    with (
        written_aside(path) as aside,
        TemporaryDirectory(prefix=f".{aside.stem}-", dir=aside.parent) as folder,
    ):
        reel = Path(folder, "reel.mp4")
        cues = _record(film, reel, captions, tags, lambda done: report(done * _ENCODING_SHARE))
        if chapter_spans or cues:
            tracks = [("", cues)] if cues else []
            add_chapters_and_captions(
                reel, aside, chapter_spans, tracks, tags, lambda: report(_ENCODING_SHARE)
            )
        else:
            reel.replace(aside)
        report(1.0)


@dataclass(frozen=True)
class _Film:
    """The timeline of a film.

    Attributes:
        shots: the clips in order.
        footage: what is in each of them.
        canvas: size and frame rate.
        starts: first frame of each shot, and the number of frames of the film.
        fades: frames in half the crossfade at each of these boundaries.
    """

    shots: tuple[Shot, ...]
    footage: tuple[Footage, ...]
    canvas: Canvas
    starts: tuple[int, ...]
    fades: tuple[int, ...]

    @property
    def is_plain(self) -> bool:
        """Whether every shot is shown as it is stored."""
        return all(shot.is_plain for shot in self.footage)

    def length(self, index: int) -> int:
        return self.starts[index + 1] - self.starts[index]

    def span(self, index: int) -> tuple[float, float]:
        return float(self.starts[index] / self.canvas.fps), float(self.starts[index + 1] / self.canvas.fps)

    def sample(self, frame: int) -> int:
        return round(frame * SAMPLE_RATE / self.canvas.fps)

    def decode(self, index: int) -> Iterator[av.VideoFrame]:
        return decode_frames(self.shots[index].path, self.footage[index], self.canvas, self.length(index))


def footage_of(shots: Sequence[Shot]) -> tuple[Footage, ...]:
    """What is in each shot.

    Raises:
        ValueError: one has no video.
        FileNotFoundError: a clip is missing.
    """
    by_path = {path: read_footage(path) for path in dict.fromkeys(shot.path for shot in shots)}
    return tuple(by_path[shot.path] for shot in shots)


def canvas_key(footage: Sequence[Footage], size: tuple[int, int] | None) -> str:
    """What a film's key holds about its canvas.

    Empty where the film is the same as earlier versions made it, which gave it the first shot's size and
    ignored how shots are turned, so that such films are found.
    """
    canvas = canvas_of(footage, size)
    return str(canvas) if differs(canvas, footage) else ""


def _plan(
    shots: Sequence[Shot], footage: Sequence[Footage], size: tuple[int, int] | None, crossfade_seconds: float
) -> _Film:
    canvas = canvas_of(footage, size)
    lengths = [max(1, round(shot.info.video_seconds * canvas.fps)) for shot in footage]
    half = max(0, round(crossfade_seconds * canvas.fps / 2))
    fades = [min(half, before // 2, after // 2) for before, after in zip(lengths, lengths[1:], strict=False)]
    return _Film(tuple(shots), tuple(footage), canvas, tuple(accumulate(lengths, initial=0)), (0, *fades, 0))


def _chapter_title(shot: Shot, index: int) -> str:
    title = clean(shot.title) if is_visible(shot.title) else f"Scene {index + 1}"
    return shortened(title, _CHAPTER_BYTES)


def _record(
    film: _Film, reel: Path, captions: bool, tags: dict[str, str], progress: Progress
) -> list[captioning.Cue]:
    """Writes all frames and audio; returns the captions."""
    canvas, cues, audio = film.canvas, [], np.zeros((2, 0), np.float32)
    splice = not any(film.fades) and film.is_plain and can_splice([shot.path for shot in film.shots])
    with av.open(str(film.shots[0].path)) as first:
        template = first.streams.video[0] if splice else None
        encoder = Encoder(reel, canvas.width, canvas.height, canvas.fps, 2, _CRF, tags, template)
    with encoder:
        for index, position, frame in _spliced(film) if splice else _joined(film):
            first_frame = film.starts[index]
            if position == 0:
                audio = _audio(film, index)
                if captions:
                    cues += _cues(film, index, audio)
            if isinstance(frame, av.Packet):
                encoder.packet(frame)
            else:
                encoder.frame(frame, keyframe=position == 0)
            current = first_frame + position
            origin, start, end = (film.sample(number) for number in (first_frame, current, current + 1))
            encoder.audio(audio[:, start - origin : end - origin])
            progress((current + 1) / film.starts[-1])
    return cues


def _spliced(film: _Film) -> Iterator[tuple[int, int, av.Packet]]:
    """All frames of the film, still encoded, with the index of the shot and the position in it."""
    for index, shot in enumerate(film.shots):
        for position, packet in enumerate(packets(shot.path, film.starts[index] / film.canvas.fps)):
            yield index, position, packet


def _joined(film: _Film) -> Iterator[tuple[int, int, av.VideoFrame]]:
    """All frames of the film, with the index of the shot and the position in it."""
    last_frame = np.empty(0)
    for index in range(len(film.shots)):
        length, fade_in, fade_out = film.length(index), film.fades[index], film.fades[index + 1]
        next_frame = next(film.decode(index + 1)).to_ndarray() if fade_out else last_frame
        for position, frame in enumerate(film.decode(index)):
            blended = frame
            if position < fade_in:
                weight = (fade_in + position + 0.5) / (2 * fade_in)
                blended = _blend(last_frame, frame.to_ndarray(), weight)
            elif position >= length - fade_out:
                weight = (position - length + fade_out + 0.5) / (2 * fade_out)
                blended = _blend(frame.to_ndarray(), next_frame, weight)
            yield index, position, blended
        if fade_out:
            last_frame = frame.to_ndarray()


def _blend(old: np.ndarray, new: np.ndarray, weight: float) -> av.VideoFrame:
    """Two yuv420p frames mixed in fixed point; `weight` is that of `new`, 0 to 1."""
    scaled = round(weight * 256)
    mixed = (old.astype(np.uint16) * (256 - scaled) + new.astype(np.uint16) * scaled + 128) >> 8
    return av.VideoFrame.from_ndarray(mixed.astype(np.uint8), format="yuv420p")


def _audio(film: _Film, index: int) -> np.ndarray:
    """The audio of a shot, float32 [2, samples], as long as its video, and faded at the joints."""
    start, end = (film.sample(film.starts[i]) for i in (index, index + 1))
    audio = pad_or_cut(decode_audio(film.shots[index].path), end - start)
    fade = min(_JOINT_FADE, audio.shape[1] // 2)
    ramp = (np.arange(fade, dtype=np.float32) + 0.5) / fade
    if index > 0:
        audio[:, :fade] *= ramp
    if index < len(film.shots) - 1:
        audio[:, -fade:] *= ramp[::-1]
    return audio


def _cues(film: _Film, index: int, audio: np.ndarray) -> list[captioning.Cue]:
    start, end = film.span(index)
    speech = captioning.speech_spans(audio, SAMPLE_RATE)
    cues = captioning.cues(film.shots[index].text, end - start, speech)
    return [captioning.Cue(start + first, start + last, text) for first, last, text in cues]
