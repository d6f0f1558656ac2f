"""Captions from the text of a scene, timed by the speech in its audio without a speech model."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple
from unicodedata import east_asian_width

import numpy as np
from wcwidth import wcswidth

from ..story.levels import heard_mono
from .linebreak import clusters, parts, shown_line
from .text import clean, closed, is_visible

Span = tuple[float, float]


class Word(NamedTuple):
    """A word of a caption, and when it is spoken, in seconds."""

    start: float
    end: float
    text: str


class Cue(NamedTuple):
    """A caption: when it is shown, in seconds, its lines joined by line breaks, and its words in order."""

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()


_LINE, _CAPTION, _SHORT = 42, 84, 16
"""Columns of a full line, of a full caption, and below which a caption is too short to be read calmly."""
_SENTENCE_END = re.compile(r"[.!?…。！？]['\"”’»)\]」』）]*$")
_CLAUSE_END = re.compile(r"[,;:–—，、；：]['\"”’»)\]」』）]*$")
_WINDOW_SECONDS, _PAUSE_SECONDS, _SPEECH_SECONDS = 0.02, 0.25, 0.1
_LINGER_SECONDS = 0.4


def cues(text: str, seconds: float, speech: Sequence[Span] | None) -> list[tuple[float, float, str]]:
    """Splits `text` into captions and times them: `(start, end, caption)`, between 0 and `seconds`.

    A caption has one or two lines and up to about 84 columns (an ideograph takes two), and ends with a
    sentence or clause where possible. The captions share the `speech` spans, or without any the whole time,
    in proportion to their length, and change in a nearby pause. Text that cannot be seen has no captions.
    """
    if not is_visible(text) or seconds <= 0:
        return []
    captions = _split(clean(text))
    spans = [(max(start, 0.0), min(end, seconds)) for start, end in speech or () if start < seconds]
    spans = spans or [(0.0, seconds)]
    spoken = [0.0, *accumulate(end - start for start, end in spans)]
    changes = _changes([_length(caption) for caption in captions], spoken)
    starts = [_moment(change, spans, spoken, bisect_right) for change in changes[:-1]]
    ends = [_moment(change, spans, spoken, bisect_left) for change in changes[1:]]
    limits = [*starts[1:], seconds]
    shown = [min(end + _LINGER_SECONDS, limit) for end, limit in zip(ends, limits, strict=True)]
    return list(zip(starts, shown, map(_lines, captions), strict=True))


def speech_spans(waveform: np.ndarray, sample_rate: int) -> list[Span]:
    """The spans `(start, end)` of speech, in seconds, in `waveform`, float32 [channels, samples].

    Speech is what is clearly louder than the quiet parts. Silence has no spans.
    """
    window = max(1, round(sample_rate * _WINDOW_SECONDS))
    count = waveform.shape[1] // window
    if count == 0:
        return []
    blocks = heard_mono(waveform[:, : count * window]).reshape(count, window)
    level = 10 * np.log10(np.square(blocks, dtype=np.float64).mean(axis=1) + 1e-12)
    floor, peak = np.percentile(level, (10, 95))
    if peak < -60:
        return []
    loud = level > max(peak - 35, min(floor + 8, peak - 12))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(np.int8)))
    seconds = edges.reshape(-1, 2) * window / sample_rate
    return _without_pauses([(float(start), float(end)) for start, end in seconds])


def _without_pauses(spans: list[Span]) -> list[Span]:
    joined: list[Span] = []
    for start, end in spans:
        if joined and start - joined[-1][1] < _PAUSE_SECONDS:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return [(start, end) for start, end in joined if end - start >= _SPEECH_SECONDS]


@dataclass(frozen=True)
class _Token:
    """The smallest unit that a line can break after; `text` includes a space that follows."""

    text: str
    columns: int
    break_cost: float


def _tokens(text: str) -> list[_Token]:
    return [_token(part) for word in parts(text) for part in _split_long(word)]


def _split_long(word: str) -> list[str]:
    if _columns(word) <= _LINE:
        return [word]
    pieces, columns = [""], 0
    for letter in clusters(word):
        columns += _columns(letter)
        if columns > _LINE // 2 and pieces[-1]:
            pieces.append("")
            columns = _columns(letter)
        pieces[-1] += letter
    return pieces


def _token(text: str) -> _Token:
    word = text.strip()
    if _SENTENCE_END.search(word):
        cost = 0.0
    elif _CLAUSE_END.search(word):
        cost = 0.6
    # Between ideographs as well as at spaces, but rather not after the hyphen of a word or within an address.
    elif text != word or east_asian_width(word[-1:] or " ") in "WF":
        cost = 1.5
    else:
        cost = 3.0
    return _Token(text, _columns(text), cost)


def _columns(text: str) -> int:
    return max(0, wcswidth(text))


def _split(text: str) -> list[list[_Token]]:
    """The cheapest split of the text into captions, by dynamic programming over its tokens."""
    tokens = _tokens(text)
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(tokens) + 1):
        choices: list[tuple[float, int]] = []
        columns = sentences = 0
        for start in range(end - 1, -1, -1):
            columns += tokens[start].columns
            if columns > _CAPTION + 1 and choices:
                break
            choices.append((best[start][0] + _cost(columns, sentences) + tokens[end - 1].break_cost, start))
            sentences += start > 0 and tokens[start - 1].break_cost == 0
        best.append(min(choices))
    captions, end = [], len(tokens)
    while end:
        start = best[end][1]
        captions.append(tokens[start:end])
        end = start
    return captions[::-1]


def _cost(columns: int, sentences_before_the_last: int) -> float:
    crowded = 0.6 * sentences_before_the_last if columns > _LINE else 0.0
    short = 1.5 * max(0.0, 1 - columns / _SHORT)
    return 0.2 + crowded + short + 0.5 * (1 - columns / _CAPTION) ** 2


def _lines(caption: Sequence[_Token]) -> str:
    """One line, or two of similar length."""
    if _length(caption) <= _LINE + 1 or len(caption) < 2:
        return _shown(caption)

    def unevenness(middle: int) -> float:
        longer = max(_length(caption[:middle]), _length(caption[middle:]))
        return longer + 8 * caption[middle - 1].break_cost

    middle = min(range(1, len(caption)), key=unevenness)
    return _shown(caption[:middle], caption[middle:])


def _length(tokens: Sequence[_Token]) -> int:
    return sum(token.columns for token in tokens)


def _shown(*lines: Sequence[_Token]) -> str:
    return "\n".join(closed([shown_line("".join(token.text for token in line)) for line in lines]))


def _changes(lengths: list[int], spoken: list[float]) -> list[float]:
    """When each caption starts and the last one ends, in seconds of speech."""
    total = sum(lengths)
    even = [part * spoken[-1] / total for part in accumulate(lengths, initial=0)]
    changes = list(even)
    for i in range(1, len(even) - 1):
        pause = min(spoken[1:-1], key=lambda at: abs(at - even[i]), default=even[i])
        reach = 0.35 * min(even[i] - even[i - 1], even[i + 1] - even[i])
        if abs(pause - even[i]) <= reach:
            changes[i] = pause
    return changes


def _moment(
    change: float, spans: list[Span], spoken: list[float], side: Callable[[Sequence[float], float], int]
) -> float:
    """Converts seconds of speech to seconds of audio.

    A pause has a single speech time; `side` chooses between its start and its end.
    """
    index = min(max(side(spoken, change) - 1, 0), len(spans) - 1)
    return spans[index][0] + change - spoken[index]
