"""Joining clips into one film, shot by shot, in memory that does not grow with its length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import av
from PIL import Image

from ..files import written_aside
from .ahead import ahead
from .audio_track import AudioTrack
from .canvas import Canvas, canvas_of, delivered, differs
from .cards.film_cards import NO_CARDS, Cards, paint_credits, paint_opening
from .cut import Part, Span, Transition, lay_out
from .decoder import decode_frames, first_image
from .delivery import AS_CLIPS, Codec, Delivery
from .encoder import SAMPLE_RATE, Encoder, yuv_converter
from .film_captions import Spoken, Tracks, caption_tracks
from .film_report import TAG, film_report
from .footage import Footage, read_footage
from .linebreak import shortened
from .mux import add_chapters_and_captions
from .probe import Progress
from .sequence import Source, frames_of
from .shot_audio import Envelope, Place, write_shots
from .sound import Sound, SoundReport, Voice, mix
from .splice import can_splice, packets
from .text import clean, is_visible

_CRF = {"h264": 16, "h265": 19, "av1": 24}
"""Of each codec, what is visually lossless at the settings of `encoder.py`."""
_CHAPTER_BYTES = 255
"""What the title of a chapter can take in an MP4; ffmpeg cuts longer ones within a letter."""
_VOICES_SHARE, _SOUND_SHARE, _ENCODING_SHARE = 0.02, 0.15, 0.97
"""The progress when the sound is ready, as recorded or mixed, and before chapters and captions are added."""
_FRAMES_AHEAD = 8


@dataclass(frozen=True)
class Shot:
    """One clip of a film.

    Attributes:
        path: its file.
        title: of its chapter.
        text: what is spoken, for captions.
        transition: how the next shot follows; None as in the film.
        pause_after: seconds in which its last frame is held before the next shot; None as in the film.
        music: whether the film's music plays.
        translations: the text in other languages, by language tag.
    """

    path: Path
    title: str = ""
    text: str = ""
    transition: Transition | None = None
    pause_after: float | None = None
    music: bool = True
    translations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Finish:
    """What a film has beyond its shots; as it is by default, a film has nothing of it.

    Attributes:
        delivery: size, frame rate, fit and codec.
        cards: an opening title and end credits, and fades at both ends.
        language: of the shots' texts, a language tag; empty if it is unknown.
        pause_after: seconds between two shots.
        sound: what is done to the sound; None leaves it as it is.
    """

    delivery: Delivery = AS_CLIPS
    cards: Cards = NO_CARDS
    language: str = ""
    pause_after: float = 0.0
    sound: Sound | None = None


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
) -> None:
    """Joins shots to a film, an MP4 file.

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
        ValueError: there are no shots, one has no video, or there is no encoder for the codec.
        FileNotFoundError: a clip is missing.
    """
    if not shots:
        raise ValueError("A film needs at least one shot: add a scene.")
    finish = finish or Finish()
    film = _plan(shots, footage or footage_of(shots), size, join, crossfade_seconds, finish)
    report = progress or (lambda done: None)
    sound_share = _SOUND_SHARE if finish.sound else _VOICES_SHARE
    with (
        written_aside(path) as aside,
        TemporaryDirectory(prefix=f".{aside.stem}-", dir=aside.parent) as folder,
    ):
        reel = Path(folder, "reel.mp4")
        sound = _sound(film, Path(folder), finish.sound, _part(report, 0, sound_share))
        cues = caption_tracks(film.spoken(), finish.language, sound.voices) if captions else {}
        tags = ({"title": clean(title)} if is_visible(title) else {}) | (metadata or {})
        tags[TAG] = film.report(cues, finish.delivery.codec, sound.report)
        _record(
            film, reel, sound.track, finish.delivery.codec, tags, _part(report, sound_share, _ENCODING_SHARE)
        )
        spans = film.chapters() if chapters else []
        if spans or cues:
            add_chapters_and_captions(
                reel, aside, spans, next(iter(cues.values()), []), tags, lambda: report(_ENCODING_SHARE)
            )
        else:
            reel.replace(aside)
        report(1.0)


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


@dataclass(frozen=True)
class _Item:
    """A shot or a card of a film.

    Attributes:
        title: of its chapter.
        span: what it asks of the cut.
        frames: its frames.
        shot: the shot; None for a card.
    """

    title: str
    span: Span
    frames: Source
    shot: Shot | None = None


@dataclass(frozen=True)
class _Film:
    """A film as it is planned: its parts in order, and where they are."""

    items: tuple[_Item, ...]
    parts: tuple[Part, ...]
    canvas: Canvas
    fade: int
    can_splice: bool

    @property
    def frames(self) -> int:
        return self.parts[-1].end

    def seconds(self, frame: int) -> float:
        return float(frame / self.canvas.fps)

    def sample(self, frame: int) -> int:
        return round(frame * SAMPLE_RATE / self.canvas.fps)

    def shots(self) -> Iterator[tuple[Shot, Part]]:
        return ((item.shot, part) for item, part in zip(self.items, self.parts, strict=True) if item.shot)

    def places(self) -> list[Place]:
        """Where the audio of each shot is."""
        return [
            Place(shot.path, self.sample(part.start), self.sample(part.start + part.clip_frames))
            for shot, part in self.shots()
        ]

    def spoken(self) -> list[Spoken]:
        """What is spoken where."""
        return [
            Spoken(
                shot.text,
                dict(shot.translations),
                self.seconds(part.start),
                self.seconds(part.start + part.clip_frames),
            )
            for shot, part in self.shots()
        ]

    def chapters(self) -> list[tuple[float, float, str]]:
        return [
            (self.seconds(part.start), self.seconds(part.end), item.title)
            for item, part in zip(self.items, self.parts, strict=True)
        ]

    def report(self, cues: Tracks, codec: str, sound: SoundReport | None) -> str:
        shots = [
            {
                "kind": "scene" if item.shot else "card",
                "title": item.title,
                "music": item.shot is None or item.shot.music,
            }
            for item in self.items
        ]
        return film_report(self.canvas, codec, self.parts, shots, cues, sound and sound.json())


def _plan(
    shots: Sequence[Shot],
    footage: Sequence[Footage],
    size: tuple[int, int] | None,
    join: Transition,
    crossfade_seconds: float,
    finish: Finish,
) -> _Film:
    delivery, cards = finish.delivery, finish.cards
    canvas = delivered(canvas_of(footage, size), delivery)
    frame_size = canvas.width, canvas.height
    # A card is not cut hard against a scene unless the scene says so.
    soft = "dip" if join == "cut" else join
    items = []
    for i, (shot, clip) in enumerate(zip(shots, footage, strict=True)):
        is_last = i == len(shots) - 1
        pause = shot.pause_after if shot.pause_after is not None else 0 if is_last else finish.pause_after
        transition = shot.transition or (soft if is_last else join)
        span = Span(clip.info.video_seconds, pause, transition)
        frames = partial(decode_frames, shot.path, clip, canvas, delivery)
        items.append(_Item(_chapter_title(shot, i), span, frames, shot))
    if is_visible(cards.opening):
        still = paint_opening(cards.opening, frame_size, first_image(shots[0].path, footage[0]))
        items.insert(0, _card(cards.opening, still, Span(cards.card_seconds, 0, soft)))
    if is_visible(cards.credits):
        still = paint_credits(cards.credits, frame_size, first_image(shots[-1].path, footage[-1]))
        items.append(_card("Credits", still, Span(cards.card_seconds)))
    parts = lay_out([item.span for item in items], canvas.fps, crossfade_seconds)
    fade = min(round(cards.fade_seconds * canvas.fps), parts[-1].end // 2)
    plain = not fade and len(items) == len(shots) and _is_spliceable(shots, footage, parts, canvas, delivery)
    return _Film(tuple(items), parts, canvas, fade, plain)


def _is_spliceable(
    shots: Sequence[Shot],
    footage: Sequence[Footage],
    parts: Sequence[Part],
    canvas: Canvas,
    delivery: Delivery,
) -> bool:
    """Whether the film is its clips, one after the other, as they are stored."""
    if delivery.codec != "h264" or any(part.before or part.frames != part.clip_frames for part in parts):
        return False
    size = (canvas.width, canvas.height)
    resized = delivery.width and any((clip.info.width, clip.info.height) != size for clip in footage)
    retimed = delivery.fps and any(clip.fps != canvas.fps for clip in footage)
    plain = all(clip.is_plain for clip in footage)
    return plain and not resized and not retimed and can_splice([shot.path for shot in shots])


def _card(title: str, image: Image.Image, span: Span) -> _Item:
    converter = yuv_converter(*image.size)
    converter.vpush(av.VideoFrame.from_image(image))
    frame = converter.vpull()
    return _Item(_shown_title(title), span, partial(repeat, frame))


def _chapter_title(shot: Shot, index: int) -> str:
    return _shown_title(shot.title if is_visible(shot.title) else f"Scene {index + 1}")


def _shown_title(title: str) -> str:
    return shortened(clean(title), _CHAPTER_BYTES)


def _part(progress: Progress, start: float, end: float) -> Progress:
    """The progress of work that takes part of the whole."""
    return lambda done: progress(start + done * (end - start))


class _Sound(NamedTuple):
    """The film's sound, its voices alone, and what was measured; None if nothing was done to it."""

    track: AudioTrack
    voices: AudioTrack
    report: SoundReport | None = None


def _sound(film: _Film, folder: Path, sound: Sound | None, progress: Progress) -> _Sound:
    samples, places = film.sample(film.frames), film.places()
    share = 1 if sound is None else 0.25
    part = _part(progress, 0, share)
    voices = write_shots(places, samples, folder / "voices", part, joints_fade=sound is None)
    if sound is None:
        return _Sound(voices, voices)
    spoken = [
        Voice(place.start, place.end - place.start, partial(voices.read, place.start, place.end), shot.music)
        for place, (shot, _) in zip(places, film.shots(), strict=True)
    ]
    report = mix(spoken, samples, sound, folder / "mixed", _part(progress, share, 1))
    return _Sound(AudioTrack(folder / "mixed"), voices, report)


def _record(
    film: _Film, reel: Path, track: AudioTrack, codec: Codec, tags: dict[str, str], progress: Progress
) -> None:
    """Writes all frames and audio."""
    canvas = film.canvas
    starts = {part.start for part in film.parts}
    ends = Envelope.linear(track.samples, *[film.sample(film.fade)] * 2)
    with ExitStack() as stack:
        template = None
        if film.can_splice:
            first = stack.enter_context(av.open(str(next(film.shots())[0].path)))
            template = first.streams.video[0]
        size = canvas.width, canvas.height
        encoder = stack.enter_context(Encoder(reel, *size, canvas.fps, 2, _CRF[codec], tags, template, codec))
        frames = _spliced(film) if film.can_splice else _joined(film)
        for number, frame in enumerate(stack.enter_context(ahead(frames, _FRAMES_AHEAD))):
            if isinstance(frame, av.Packet):
                encoder.packet(frame)
            else:
                encoder.frame(frame, keyframe=number in starts)
            start, end = film.sample(number), film.sample(number + 1)
            encoder.audio(ends.applied(track.read(start, end), start))
            progress((number + 1) / film.frames)


def _spliced(film: _Film) -> Iterator[av.Packet]:
    """All frames of the film, still encoded."""
    for shot, part in film.shots():
        yield from packets(shot.path, part.start / film.canvas.fps)


def _joined(film: _Film) -> Iterator[av.VideoFrame]:
    return frames_of(film.parts, [item.frames for item in film.items], fade=film.fade)
