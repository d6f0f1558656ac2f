"""The plan of a film: its shots and cards in order, where they are, and how they are finished."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path

import av
from PIL import Image

from .burned import CaptionStyle
from .canvas import Canvas, canvas_of, delivered, differs
from .captions import Word
from .cards.film_cards import NO_CARDS, Cards, paint_credits, paint_opening
from .cut import Part, Span, Transition, lay_out
from .decoder import decode_frames, first_image
from .delivery import AS_CLIPS, Delivery
from .encoder import SAMPLE_RATE, yuv_converter
from .film_captions import Spoken, Tracks
from .film_report import film_report
from .footage import Footage, read_footage
from .linebreak import shortened
from .sequence import Source
from .shot_audio import Place
from .sound import Sound, SoundReport
from .splice import can_splice
from .text import clean, is_visible

_CHAPTER_BYTES = 255
"""What the title of a chapter can take in an MP4; ffmpeg cuts longer ones within a letter."""


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
        words: when the words of the text are said, in seconds of the clip; none if it is not known.
        chapter: whether a chapter begins with it; if not, it belongs to the chapter before.
        is_ambient: whether its sound is what a camera heard, and nobody's voice.
    """

    path: Path
    title: str = ""
    text: str = ""
    transition: Transition | None = None
    pause_after: float | None = None
    music: bool = True
    translations: tuple[tuple[str, str], ...] = ()
    words: tuple[Word, ...] = ()
    chapter: bool = True
    is_ambient: bool = False


@dataclass(frozen=True)
class Finish:
    """What a film has beyond its shots; as it is by default, a film has nothing of it.

    Attributes:
        delivery: size, frame rate, fit and codec.
        cards: an opening title and end credits, and fades at both ends.
        language: of the shots' texts, a language tag; empty if it is unknown.
        pause_after: seconds between two shots.
        sound: what is done to the sound; None leaves it as it is.
        burned: how captions are drawn into the frames; None for none. Its language is that of the texts if it
            is empty.
    """

    delivery: Delivery = AS_CLIPS
    cards: Cards = NO_CARDS
    language: str = ""
    pause_after: float = 0.0
    sound: Sound | None = None
    burned: CaptionStyle | None = None


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


def needs_size(footage: Sequence[Footage]) -> bool:
    """Whether the size that a film is given has an effect: it has none where its shots are equally large."""
    return len({shot.size for shot in footage}) > 1


@dataclass(frozen=True)
class Item:
    """A shot or a card of a film.

    Attributes:
        title: of its chapter.
        span: what it asks of the cut.
        frames: its frames.
        shot: the shot; None for a card.
        begins_chapter: whether a chapter begins with it.
    """

    title: str
    span: Span
    frames: Source
    shot: Shot | None = None
    begins_chapter: bool = True


@dataclass(frozen=True)
class FilmPlan:
    """A film before it is made.

    Attributes:
        items: its shots and cards in order.
        parts: where each of them is.
        canvas: its size and frame rate.
        fade: frames over which it comes from black, and goes to black.
        finish: what it has beyond its shots.
        can_splice: whether it is its clips, one after the other, as they are stored.
    """

    items: tuple[Item, ...]
    parts: tuple[Part, ...]
    canvas: Canvas
    fade: int
    finish: Finish
    can_splice: bool

    @property
    def frames(self) -> int:
        """How many it has."""
        return self.parts[-1].end

    @property
    def audio_fades(self) -> tuple[int, int]:
        """Samples over which the audio fades in and out. A voice that begins a film is not faded in."""
        fade = self.sample(self.fade)
        return 0 if self.items[0].shot else fade, fade

    def seconds(self, frame: int) -> float:
        """When a frame is shown."""
        return float(frame / self.canvas.fps)

    def sample(self, frame: int) -> int:
        """The sample of the film at which a frame is shown."""
        return round(frame * SAMPLE_RATE / self.canvas.fps)

    def shots(self) -> Iterator[tuple[Shot, Part]]:
        """Its shots without the cards."""
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
                shot.words,
                dict(shot.translations),
                self.seconds(part.start),
                self.seconds(part.start + part.clip_frames),
            )
            for shot, part in self.shots()
        ]

    def chapters(self) -> list[tuple[float, float, str]]:
        """Start and end in seconds, and title of each chapter."""
        begun = [
            (part.start, item.title)
            for item, part in zip(self.items, self.parts, strict=True)
            if item.begins_chapter
        ]
        ends = [*(start for start, _ in begun[1:]), self.frames]
        return [
            (self.seconds(start), self.seconds(end), title)
            for (start, title), end in zip(begun, ends, strict=True)
        ]

    def report(self, cues: Tracks, sound: SoundReport | None) -> str:
        """What the film says about itself (`film_report.py`)."""
        shots = [
            {
                "kind": "scene" if item.shot else "card",
                "title": item.title,
                "music": item.shot is None or item.shot.music,
                **({} if item.begins_chapter else {"chapter": False}),
            }
            for item in self.items
        ]
        return film_report(
            self.canvas, self.finish.delivery.codec, self.parts, shots, cues, sound and sound.json()
        )


def plan_film(
    shots: Sequence[Shot],
    footage: Sequence[Footage],
    size: tuple[int, int] | None,
    join: Transition,
    crossfade_seconds: float,
    finish: Finish,
) -> FilmPlan:
    """Plans a film; the arguments are those of `film.assemble`. Paints its cards."""
    delivery, cards = finish.delivery, finish.cards
    canvas = delivered(canvas_of(footage, size), delivery)
    frame_size = canvas.width, canvas.height
    # A card is not cut hard against a scene unless the scene says so.
    soft = "dip" if join == "cut" else join
    items: list[Item] = []
    for i, (shot, clip) in enumerate(zip(shots, footage, strict=True)):
        is_last = i == len(shots) - 1
        pause = shot.pause_after if shot.pause_after is not None else 0 if is_last else finish.pause_after
        if is_last and not is_visible(cards.credits):
            # Nobody speaks into the fade to black.
            pause = max(pause, cards.fade_seconds)
        transition = shot.transition or (soft if is_last else join)
        span = Span(clip.info.video_seconds, pause, transition)
        frames = partial(decode_frames, shot.path, clip, canvas, delivery)
        begins = shot.chapter or i == 0
        number = sum(item.begins_chapter for item in items) + begins
        items.append(Item(_chapter_title(shot, number), span, frames, shot, begins))
    if is_visible(cards.opening):
        still = paint_opening(cards.opening, frame_size, first_image(shots[0].path, footage[0]))
        items.insert(0, _card(cards.opening, still, Span(cards.card_seconds, 0, soft)))
    if is_visible(cards.credits):
        still = paint_credits(cards.credits, frame_size, first_image(shots[-1].path, footage[-1]))
        items.append(_card("Credits", still, Span(cards.card_seconds)))
    parts = lay_out([item.span for item in items], canvas.fps, crossfade_seconds)
    fade = min(round(cards.fade_seconds * canvas.fps), parts[-1].end // 2)
    plain = (
        not fade
        and finish.burned is None
        and len(items) == len(shots)
        and _is_spliceable(shots, footage, parts, canvas, delivery)
    )
    return FilmPlan(tuple(items), parts, canvas, fade, finish, plain)


def _is_spliceable(
    shots: Sequence[Shot],
    footage: Sequence[Footage],
    parts: Sequence[Part],
    canvas: Canvas,
    delivery: Delivery,
) -> bool:
    if delivery.codec != "h264" or any(part.before or part.frames != part.clip_frames for part in parts):
        return False
    size = (canvas.width, canvas.height)
    resized = delivery.width and any((clip.info.width, clip.info.height) != size for clip in footage)
    retimed = delivery.fps and any(clip.fps != canvas.fps for clip in footage)
    plain = all(clip.is_plain for clip in footage)
    return plain and not resized and not retimed and can_splice([shot.path for shot in shots])


def _card(title: str, image: Image.Image, span: Span) -> Item:
    converter = yuv_converter(*image.size)
    converter.vpush(av.VideoFrame.from_image(image))
    frame = converter.vpull()
    return Item(_shown_title(title), span, partial(repeat, frame))


def _chapter_title(shot: Shot, number: int) -> str:
    return _shown_title(shot.title if is_visible(shot.title) else f"Scene {number}")


def _shown_title(title: str) -> str:
    return shortened(clean(title), _CHAPTER_BYTES)
