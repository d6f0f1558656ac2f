"""Joining clips into one film, shot by shot, so that its length costs time and no memory."""

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
from .decoder import pictures, sound
from .encoder import SAMPLE_RATE, Encoder, exactly
from .mux import add_chapters_and_captions
from .probe import MediaInfo, Progress, probe
from .splice import alike, packets

_CRF = 16
_JOINT_FADE = round(0.004 * SAMPLE_RATE)
_ENCODING_SHARE = 0.97


@dataclass(frozen=True)
class Shot:
    """One clip of a film: its file, its chapter's title and what is said in it, for the captions."""

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
    metadata: dict[str, str] | None = None,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write the film made of `shots` to `path`, an MP4 file.

    It has the size and frame rate of the first shot; others are scaled and letterboxed. It is as long as its
    shots together, and each shot's sound as long as its pictures. A crossfade takes nothing away: it is
    centred on the boundary and made of held pictures, no sound overlaps, and it stays within half a shot.
    Plain cuts of clips that were encoded alike keep their pictures bit by bit; all else is encoded anew.
    Each shot is a chapter; shots with text have captions, which the player can switch off.

    `progress` is told the share done, 0 to 1. It may raise to cancel; then `path` is left as it was.
    Raises ValueError if there are no shots or one has no pictures, FileNotFoundError if one is missing.
    """
    if not shots:
        raise ValueError("A film needs at least one shot.")
    film = _plan(shots, crossfade_seconds if join == "crossfade" else 0)
    tags = ({"title": title} if title else {}) | (metadata or {})
    report = progress or (lambda done: None)
    marks = (
        [(*film.span(i), shot.title or f"Scene {i + 1}") for i, shot in enumerate(shots)] if chapters else []
    )
    with (
        written_aside(path) as aside,
        TemporaryDirectory(prefix=f".{aside.stem}-", dir=aside.parent) as folder,
    ):
        reel = Path(folder, "reel.mp4")
        cues = _record(film, reel, captions, tags, lambda done: report(done * _ENCODING_SHARE))
        if marks or cues:
            add_chapters_and_captions(reel, aside, marks, cues, tags, lambda: report(_ENCODING_SHARE))
        else:
            reel.replace(aside)
        report(1.0)


@dataclass(frozen=True)
class _Film:
    """Where everything lies.

    `starts` are frames, one more than there are shots; `fades` are frames too, half the crossfade at each of
    these boundaries.
    """

    shots: tuple[Shot, ...]
    info: MediaInfo
    starts: tuple[int, ...]
    fades: tuple[int, ...]

    def length(self, index: int) -> int:
        return self.starts[index + 1] - self.starts[index]

    def span(self, index: int) -> tuple[float, float]:
        return float(self.starts[index] / self.info.fps), float(self.starts[index + 1] / self.info.fps)

    def sample(self, frame: int) -> int:
        return round(frame * SAMPLE_RATE / self.info.fps)

    def decode(self, index: int) -> Iterator[av.VideoFrame]:
        info = self.info
        return pictures(self.shots[index].path, info.width, info.height, info.fps, self.length(index))


def _plan(shots: Sequence[Shot], crossfade_seconds: float) -> _Film:
    infos = [_probed(shot) for shot in shots]
    fps = infos[0].fps
    lengths = [max(1, round(info.video_seconds * fps)) for info in infos]
    half = max(0, round(crossfade_seconds * fps / 2))
    fades = [min(half, before // 2, after // 2) for before, after in zip(lengths, lengths[1:], strict=False)]
    return _Film(tuple(shots), infos[0], tuple(accumulate(lengths, initial=0)), (0, *fades, 0))


def _probed(shot: Shot) -> MediaInfo:
    info = probe(shot.path)
    if not info.frames or not info.fps:
        raise ValueError(f"{shot.path.name} has no pictures, so it cannot be a shot of a film.")
    return info


def _record(
    film: _Film, reel: Path, captions: bool, tags: dict[str, str], progress: Progress
) -> list[tuple[float, float, str]]:
    """Write all pictures and sound; returns the captions."""
    info, cues, voice = film.info, [], np.zeros((2, 0), np.float32)
    splice = not any(film.fades) and alike([shot.path for shot in film.shots])
    with av.open(str(film.shots[0].path)) as first:
        like = first.streams.video[0] if splice else None
        encoder = Encoder(reel, info.width, info.height, info.fps, 2, _CRF, tags, like)
    with encoder:
        for index, place, picture in _spliced(film) if splice else _joined(film):
            start = film.starts[index]
            if place == 0:
                voice = _voice(film, index)
                if captions and film.shots[index].text.strip():
                    cues += _cues(film, index, voice)
            if isinstance(picture, av.Packet):
                encoder.packet(picture)
            else:
                encoder.frame(picture, keyframe=place == 0)
            begin, now, then = (film.sample(at) for at in (start, start + place, start + place + 1))
            encoder.sound(voice[:, now - begin : then - begin])
            progress((start + place + 1) / film.starts[-1])
    return cues


def _spliced(film: _Film) -> Iterator[tuple[int, int, av.Packet]]:
    """All pictures of the film as they are in its shots, each with its shot's index and its place there."""
    for index, shot in enumerate(film.shots):
        for place, packet in enumerate(packets(shot.path, film.starts[index] / film.info.fps)):
            yield index, place, packet


def _joined(film: _Film) -> Iterator[tuple[int, int, av.VideoFrame]]:
    """All pictures of the film, each with its shot's index and its place in the shot."""
    held = np.empty(0)
    for index in range(len(film.shots)):
        length, before, after = film.length(index), film.fades[index], film.fades[index + 1]
        opening = next(film.decode(index + 1)).to_ndarray() if after else held
        for place, frame in enumerate(film.decode(index)):
            mixed = frame
            if place < before:
                mixed = _mixed(held, frame.to_ndarray(), (before + place + 0.5) / (2 * before))
            elif place >= length - after:
                mixed = _mixed(frame.to_ndarray(), opening, (place - length + after + 0.5) / (2 * after))
            yield index, place, mixed
        if after:
            held = frame.to_ndarray()


def _mixed(old: np.ndarray, new: np.ndarray, share: float) -> av.VideoFrame:
    weight = round(share * 256)
    mixed = (old.astype(np.uint16) * (256 - weight) + new.astype(np.uint16) * weight + 128) >> 8
    return av.VideoFrame.from_ndarray(mixed.astype(np.uint8), format="yuv420p")


def _voice(film: _Film, index: int) -> np.ndarray:
    """A shot's sound, float32 [2, samples], as long as its pictures, faded at the joints against clicks."""
    begin, end = (film.sample(film.starts[i]) for i in (index, index + 1))
    voice = exactly(sound(film.shots[index].path), end - begin)
    fade = min(_JOINT_FADE, voice.shape[1] // 2)
    ramp = (np.arange(fade, dtype=np.float32) + 0.5) / fade
    if index > 0:
        voice[:, :fade] *= ramp
    if index < len(film.shots) - 1:
        voice[:, -fade:] *= ramp[::-1]
    return voice


def _cues(film: _Film, index: int, voice: np.ndarray) -> list[tuple[float, float, str]]:
    start, end = film.span(index)
    speech = captioning.speech_spans(voice, SAMPLE_RATE)
    cues = captioning.cues(film.shots[index].text, end - start, speech)
    return [(start + first, start + last, text) for first, last, text in cues]
