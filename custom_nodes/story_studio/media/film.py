"""Joining clips into one film, shot by shot, in memory that does not grow with its length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import av
import numpy as np

from ..files import written_aside
from ..story.results import REPORT_TAG
from .ahead import ahead
from .audio_track import AudioTrack
from .burned import CaptionOverlay
from .cut import Transition
from .encoder import VISUALLY_LOSSLESS, Encoder
from .envelope import Envelope
from .film_captions import Tracks, caption_tracks
from .film_plan import FilmPlan, Finish, Shot, canvas_key, footage_of, needs_size, plan_film
from .footage import Footage
from .mux import add_chapters_and_captions
from .progress import Progress, part_of
from .sequence import frames_of
from .shot_audio import write_shots
from .sound import SoundReport, Voice, mix
from .splice import packets
from .text import clean, is_visible

__all__ = ["Finish", "Shot", "assemble", "canvas_key", "footage_of", "needs_size"]

_VOICES_SHARE, _SOUND_SHARE, _ENCODING_SHARE = 0.02, 0.15, 0.97
"""The progress when the sound is ready, as recorded or mixed, and before chapters and captions are added."""
_DECODING_SHARE = 0.25
"""The progress of the sound when all voices are decoded, if they are then mixed."""
_FRAMES_AHEAD = 8


def assemble(
    shots: Sequence[Shot],
    path: Path,
    *,
    join: Transition = "cut",
    crossfade_seconds: float = 0.5,
    chapters: bool = True,
    captions: bool = True,
    title: str = "",
    size: tuple[int, int] | None = None,
    footage: Sequence[Footage] | None = None,
    finish: Finish | None = None,
    metadata: dict[str, str] | None = None,
    progress: Callable[[float], None] | None = None,
) -> list[str]:
    """Joins shots to a film, an MP4 file; returns warnings.

    Shots of another size than the film's (see `canvas_of`) are scaled and fitted, those of another frame
    rate repeat or leave out frames. The film is as long as its shots, pauses and cards together, and the
    audio of each shot is as long as its video. Plain cuts of clips with the film's encoding are copied bit by
    bit; everything else is re-encoded.

    Args:
        shots: the clips in order.
        path: the film; an existing file is replaced at the end.
        join: how shots follow each other. A `crossfade` blends each with the held first or last frame of its
            neighbour, a `dip` goes through black; both as `lay_out` places them. Audio does not overlap.
        crossfade_seconds: duration of a crossfade or dip.
        chapters: whether each shot is a chapter.
        captions: whether shots with text have captions, as subtitle tracks that are off by default.
        title: title of the film.
        size: width and height of the story's clips, which the film has if its shots differ in size.
        footage: what is in the shots, if it is known.
        finish: what it has beyond its shots.
        metadata: further tags of the file.
        progress: called with the fraction done, 0 to 1. It may raise to cancel; `path` is then unchanged.

    Raises:
        ValueError: there are no shots, one has no video, there is no encoder for the codec, or no such font
            for burned captions.
        FileNotFoundError: a clip is missing.
    """
    if not shots:
        raise ValueError("A film needs at least one shot: add a scene.")
    film = plan_film(shots, footage or footage_of(shots), size, join, crossfade_seconds, finish or Finish())
    report = progress or (lambda done: None)
    with (
        written_aside(path) as aside,
        TemporaryDirectory(prefix=f".{aside.stem}-", dir=aside.parent) as folder,
    ):
        sound_share = _SOUND_SHARE if film.finish.sound else _VOICES_SHARE
        sound = _sound(film, Path(folder), part_of(report, 0, sound_share))
        cues = _cues(film, captions, sound)
        tags = ({"title": clean(title)} if is_visible(title) else {}) | (metadata or {})
        tags[REPORT_TAG] = film.report(cues, sound.report)
        reel = Path(folder, "reel.mp4")
        show = part_of(report, sound_share, _ENCODING_SHARE)
        with _burning(film, cues) as overlay:
            _record(film, reel, sound.track, tags, overlay, show)
        spans = film.chapters() if chapters else []
        soft = [*cues.items()] if captions else []
        if spans or soft:
            add_chapters_and_captions(reel, aside, spans, soft, tags, lambda: report(_ENCODING_SHARE))
        else:
            reel.replace(aside)
        report(1.0)
    return overlay.warnings if overlay else []


class _Sound(NamedTuple):
    """The film's sound, its voices alone, and what was measured; None if nothing was done to it."""

    track: AudioTrack
    voices: AudioTrack
    report: SoundReport | None = None


def _sound(film: FilmPlan, folder: Path, progress: Progress) -> _Sound:
    sound = film.finish.sound
    samples, places = film.sample(film.frames), film.places()
    share = 1 if sound is None else _DECODING_SHARE
    decoding = part_of(progress, 0, share)
    voices = write_shots(places, samples, folder / "voices", decoding, joints_fade=sound is None)
    if sound is None:
        return _Sound(voices, voices)
    spoken = [
        Voice(
            place.start,
            place.end - place.start,
            partial(_from, voices, place.start),
            shot.music,
            shot.is_ambient,
        )
        for place, (shot, _) in zip(places, film.shots(), strict=True)
    ]
    report = mix(spoken, samples, sound, folder / "mixed", part_of(progress, share, 1))
    return _Sound(AudioTrack(folder / "mixed"), voices, report)


def _from(track: AudioTrack, origin: int, start: int, end: int) -> np.ndarray:
    return track.read(origin + start, origin + end)


def _cues(film: FilmPlan, captions: bool, sound: _Sound) -> Tracks:
    if not captions and film.finish.burned is None:
        return {}
    return caption_tracks(film.spoken(), film.finish.language, sound.voices)


@contextmanager
def _burning(film: FilmPlan, cues: Tracks) -> Iterator[CaptionOverlay | None]:
    """What draws the captions into the frames, if they are to be drawn."""
    burned = film.finish.burned
    if burned is None:
        yield None
        return
    language = burned.language or film.finish.language
    style = replace(burned, language=language)
    with CaptionOverlay(cues.get(language, []), film.canvas, style) as overlay:
        yield overlay


def _record(
    film: FilmPlan,
    reel: Path,
    track: AudioTrack,
    tags: dict[str, str],
    overlay: CaptionOverlay | None,
    progress: Progress,
) -> None:
    """Writes all frames and audio."""
    canvas, codec = film.canvas, film.finish.delivery.codec
    starts = {part.start for part in film.parts}
    ends = Envelope.linear(track.samples, *film.audio_fades)
    with ExitStack() as stack:
        template = None
        if film.can_splice:
            first = stack.enter_context(av.open(str(next(film.shots())[0].path)))
            template = first.streams.video[0]
        size = canvas.width, canvas.height
        encoder = stack.enter_context(
            Encoder(reel, *size, canvas.fps, 2, VISUALLY_LOSSLESS[codec], tags, template, codec)
        )
        frames = _spliced(film) if film.can_splice else _joined(film, overlay)
        for number, frame in enumerate(stack.enter_context(ahead(frames, _FRAMES_AHEAD))):
            if isinstance(frame, av.Packet):
                encoder.packet(frame)
            else:
                encoder.frame(frame, keyframe=number in starts)
            start, end = film.sample(number), film.sample(number + 1)
            encoder.audio(ends.applied(track.read(start, end), start))
            progress((number + 1) / film.frames)


def _spliced(film: FilmPlan) -> Iterator[av.Packet]:
    """All frames of the film, still encoded."""
    for shot, part in film.shots():
        yield from packets(shot.path, part.start / film.canvas.fps)


def _joined(film: FilmPlan, overlay: CaptionOverlay | None) -> Iterator[av.VideoFrame]:
    draw = overlay.draw if overlay else None
    return frames_of(film.parts, [item.frames for item in film.items], draw, film.fade)
