"""Where burned-in captions stand in a frame, how their lines are broken to fit, and when they change."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, groupby, pairwise
from typing import Literal, NamedTuple

from .captions import Cue, Word
from .cards.lettering import Face
from .fonts import width_of
from .linebreak import BREAKS, clusters, parts, shown_line
from .text import clean, closed, is_ignorable, is_visible

Position = Literal["bottom", "middle", "top"]

_LINES = 2
"""Lines of a caption; a longer one becomes two captions, one after the other."""
_SPARE = 1.03
"""Widths are measured with another program than the one that draws, so there is some room."""
_PAUSE_SECONDS = 0.5
"""How long a word stays highlighted after its end if the next one is not spoken yet."""
_UPRIGHT = 1.3
"""Height to width from which a video is shown in full on a phone, below the interface of an app."""
_CLAUSE_END = re.compile(r"[.!?…。！？,;:–—，、；：؟،۔।]['\"”’»)\]」』）]*\s*$")

Run = tuple[str, bool]
"""Letters of a line, and whether they are the spoken word."""


class Area(NamedTuple):
    """A part of the frame, in pixels from its upper left corner."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


def safe_area(width: int, height: int) -> Area:
    """The part of a frame where captions can be read wherever the film is shown.

    Upright videos stay clear of what apps draw over them. Of 1920 rows, TikTok covers 320 to 350 at the
    bottom, Instagram Reels 310 to 450, YouTube Shorts up to 480; at the top Reels cover up to 220. Of 1080
    columns, TikTok's buttons cover 120 to 164 at the right; as captions are centred, the left stays as free.
    (blitzcutai.com/blog/best-caption-placement-short-form-video and
    youraithumbnailgenerator.com/guides/youtube-shorts-safe-zones-complete-guide, both of 2026.)

    Other frames have the title-safe margins of EBU R 95 and SMPTE ST 2046-1, 5 % at each side, and a little
    more beside the lines, which are easier to read if they are shorter.
    """
    if height >= _UPRIGHT * width:
        return Area(0.152 * width, 0.12 * height, 0.848 * width, 0.75 * height)
    return Area(0.08 * width, 0.06 * height, 0.92 * width, 0.94 * height)


@dataclass(frozen=True)
class Caption:
    """A caption as it is shown.

    Attributes:
        start, end: seconds.
        lines: the letters of each line.
        labels: for each letter of each line the number of its word in `words`, or -1.
        words: the words of the cue.
    """

    start: float
    end: float
    lines: tuple[str, ...]
    labels: tuple[tuple[int, ...], ...]
    words: tuple[Word, ...]

    def runs(self, spoken: int | None) -> list[list[Run]]:
        """The letters of each line, apart by whether they belong to the word of number `spoken`."""
        result = []
        for line, labels in zip(self.lines, self.labels, strict=True):
            pairs = zip(line, labels, strict=True)
            groups = groupby(pairs, key=lambda pair: spoken is not None and pair[1] == spoken)
            result.append([("".join(letter for letter, _ in group), said) for said, group in groups])
        return result


class State(NamedTuple):
    """What the captions look like from frame `first` to before frame `stop`."""

    first: int
    stop: int
    lines: list[list[Run]]


def states(cues: Sequence[Cue], fps: Fraction, room: float, face: Face, highlight: bool) -> Iterator[State]:
    """All states of the captions in order, without those in which none is shown.

    Args:
        cues: the captions in the order of their time; one that starts before another's end waits for it.
        fps: frames in a second.
        room: for a line, in font sizes.
        face: what the letters are measured with.
        highlight: whether the captions change with the spoken word, where words are known.
    """
    now = 0
    for cue in cues:
        for caption in fitted(cue, room / _SPARE, face):
            for start, end, spoken in _changes(caption, highlight):
                # A frame is shown from its own time on.
                first, stop = (math.ceil(moment * fps - 1e-6) for moment in (start, end))
                first = max(first, now)
                if stop > first:
                    yield State(first, stop, caption.runs(spoken))
                    now = stop


def _changes(caption: Caption, highlight: bool) -> Iterator[tuple[float, float, int | None]]:
    """Spans of a caption, and the number of the word that is to be highlighted in each."""
    labels = {number for labels in caption.labels for number in labels if highlight and number >= 0}
    shown = sorted(labels)
    now = caption.start
    limits = [*(caption.words[number].start for number in shown[1:]), caption.end]
    for number, limit in zip(shown, limits, strict=False):
        word = caption.words[number]
        start, end = word.start, min(limit, word.end + _PAUSE_SECONDS, caption.end)
        if start > now:
            yield now, start, None
        if end > max(start, now):
            yield max(start, now), end, number
        now = max(now, end)
    if caption.end > now:
        yield now, caption.end, None


class _Token(NamedTuple):
    """Letters that a line can break after; `start` and `end` are their place in the text."""

    start: int
    end: int
    width: float
    tight: float
    ends_clause: bool


def fitted(cue: Cue, room: float, face: Face) -> list[Caption]:
    """A cue as captions of at most two lines that are no wider than `room` font sizes.

    Its own lines stay if they fit. Otherwise the text is broken again, into several captions if it must be,
    each of which has its part of the time: from its first word, or in proportion to its width.
    """
    own_lines = ["".join(parts(clean(part))) for part in cue.text.split("\n") if is_visible(part)]
    if not own_lines or cue.end <= cue.start:
        return []
    text, spans = _joined(own_lines)
    labels = _labels(text, cue.words)
    if len(own_lines) <= _LINES and all(width_of(line, face) <= room for line in own_lines):
        groups = [spans]
    else:
        groups = [_lines(tokens, room) for tokens in _split(_tokens(text, room, face), room)]
    moments = _moments(cue, text, groups, labels, face)
    return [
        Caption(start, end, *_shown(text, labels, lines), cue.words)
        for lines, (start, end) in zip(groups, pairwise(moments), strict=True)
    ]


_Span = tuple[int, int]


def _joined(lines: Sequence[str]) -> tuple[str, list[_Span]]:
    """The text of all lines, with the spaces that were at their ends, and the place of each line in it."""
    text, spans = "", []
    for line in lines:
        if text and not (_is_unspaced(text[-1]) and _is_unspaced(line[0])):
            text += " "
        spans.append((len(text), len(text) + len(line)))
        text += line
    return text, spans


def _is_unspaced(letter: str) -> bool:
    is_wide = unicodedata.east_asian_width(letter) in "WF"
    return is_wide and not unicodedata.name(letter, "").startswith("HANGUL")


def _labels(text: str, words: Sequence[Word]) -> list[int]:
    labels, now = [-1] * len(text), 0
    for number, word in enumerate(words):
        letters = " ".join(clean(word.text).split())
        at = text.find(letters, now) if letters else -1
        if at >= 0:
            now = at + len(letters)
            labels[at:now] = [number] * len(letters)
    return labels


def _tokens(text: str, room: float, face: Face) -> list[_Token]:
    tokens, start = [], 0
    for part in parts(text):
        for piece in _pieces(part, room, face):
            end = start + len(piece)
            ends_clause = _CLAUSE_END.search(piece) is not None
            tight = width_of(piece.rstrip(), face)
            tokens.append(_Token(start, end, width_of(piece, face), tight, ends_clause))
            start = end
    return tokens


def _pieces(part: str, room: float, face: Face) -> Iterator[str]:
    """A part of a text in pieces that fit into a line."""
    piece, used = "", 0.0
    for letter in clusters(part):
        wide = width_of(letter, face)
        if piece and not letter.isspace() and used + wide > room:
            yield piece
            piece, used = "", 0.0
        piece, used = piece + letter, used + wide
    yield piece


def _split(tokens: list[_Token], room: float) -> list[list[_Token]]:
    """The tokens of each caption: halves, and halves of these, until each fits."""
    if len(tokens) < 2 or _fits(tokens, room):
        return [tokens]
    cut = _even_cut(tokens)
    return [*_split(tokens[:cut], room), *_split(tokens[cut:], room)]


def _fits(tokens: Sequence[_Token], room: float) -> bool:
    lines, used = 1, 0.0
    for token in tokens:
        if used and used + token.tight > room:
            lines, used = lines + 1, 0.0
        used += token.width
    return lines <= _LINES


def _lines(tokens: list[_Token], room: float) -> list[_Span]:
    if sum(token.width for token in tokens[:-1]) + tokens[-1].tight <= room:
        return [(tokens[0].start, tokens[-1].end)]
    cut = _even_cut(tokens, room)
    return [(part[0].start, part[-1].end) for part in (tokens[:cut], tokens[cut:])]


def _even_cut(tokens: Sequence[_Token], room: float = math.inf) -> int:
    """Where to cut for parts of similar width, that fit if possible, and rather at the end of a clause."""
    ends = [0.0, *accumulate(token.width for token in tokens)]
    whole = ends[-2] + tokens[-1].tight

    def cost(cut: int) -> float:
        longer = max(ends[cut - 1] + tokens[cut - 1].tight, whole - ends[cut])
        bonus = 0.12 * whole if tokens[cut - 1].ends_clause else 0.0
        return longer - bonus + 1e6 * max(0.0, longer - room)

    return min(range(1, len(tokens)), key=cost)


def _moments(
    cue: Cue, text: str, groups: Sequence[Sequence[_Span]], labels: Sequence[int], face: Face
) -> list[float]:
    """When each caption of a cue starts, and the last one ends, in seconds."""
    widths = [sum(width_of(text[start:end], face) for start, end in lines) for lines in groups]
    moments = [cue.start]
    for number, lines in enumerate(groups[1:], 1):
        share = sum(widths[:number]) / (sum(widths) or 1)
        moment = cue.start + share * (cue.end - cue.start)
        spoken = [labels[i] for start, end in lines for i in range(start, end) if labels[i] >= 0]
        if spoken:
            moment = cue.words[spoken[0]].start
        moments.append(min(max(moment, moments[-1]), cue.end))
    return [*moments, cue.end]


def _shown(
    text: str, labels: Sequence[int], lines: Sequence[_Span]
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """The letters of each line as it is shown, and their labels."""
    shown = closed([shown_line(text[start:end]) for start, end in lines])
    found = []
    for line, (start, end) in zip(shown, lines, strict=True):
        own, at = [], start
        for letter in line:
            # What is not in the text was added: a hyphen at the end, or what closes a direction.
            place = next((i for i in range(at, end) if text[i] == letter), None)
            skipped = text[at:place] if place is not None else ""
            if place is None or any(not (c.isspace() or c in BREAKS or is_ignorable(c)) for c in skipped):
                own.append(-1)
                continue
            own.append(labels[place])
            at = place + 1
        found.append(tuple(own))
    return tuple(shown), tuple(found)
