"""Captions from the text of a scene, timed by the speech in its audio without a speech model."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple
from unicodedata import east_asian_width

from wcwidth import wcswidth

from . import spoken
from .linebreak import BREAKS, clusters, parts, shown_line
from .text import clean, closed, is_visible

Span = tuple[float, float]

_LINE, _CAPTION, _SHORT = 42, 84, 16
"""Columns of a full line, of a full caption, and below which a caption is too short to be read calmly."""
_LINGER_SECONDS = 0.4


class Word(NamedTuple):
    """A word and when it is said, in seconds. Punctuation that stands alone takes no time."""

    start: float
    end: float
    text: str


class Cue(NamedTuple):
    """A caption, when it is shown, in seconds, and its words in order.

    `text` has one or two lines. A word that is broken over two captions has a part in each.
    """

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()


def cues(
    text: str, seconds: float, speech: Sequence[Span] | None, words: Sequence[Word] | None = None
) -> list[Cue]:
    """Splits `text` into captions and times them between 0 and `seconds`.

    A caption has one or two lines and up to about 84 columns (an ideograph takes two), and ends with a
    sentence or clause where possible. Text that cannot be seen has no captions.

    With `words`, a caption is shown from its first word until shortly after its last. Without, or if they are
    not those of the text, the captions share the `speech` spans, or without any the whole time, in proportion
    to their length, and change in a nearby pause; so do their words, by how long they take to say.
    """
    if not is_visible(text) or seconds <= 0:
        return []
    captions = _split(clean(text))
    if words and (timed := _timed(words, captions, seconds)):
        return [
            Cue(start, end, _lines(caption), _within(start, end, group))
            for (start, end), caption, group in zip(
                _shown_times(timed, seconds), captions, timed, strict=True
            )
        ]
    return _in_proportion(spoken.words(text), captions, seconds, speech or ())


def _within(start: float, end: float, words: Sequence[Word]) -> tuple[Word, ...]:
    """The words of a caption; punctuation that stands before its first word appears with it."""

    def limited(moment: float) -> float:
        return min(max(moment, start), end)

    return tuple(Word(limited(word.start), limited(word.end), word.text) for word in words)


def _in_proportion(
    words: Sequence[str], captions: Sequence[list[_Token]], seconds: float, speech: Sequence[Span]
) -> list[Cue]:
    spans = [(max(start, 0.0), min(end, seconds)) for start, end in speech if start < seconds]
    spans = spans or [(0.0, seconds)]
    said = [0.0, *accumulate(end - start for start, end in spans)]
    # Accents alone take no column.
    changes = _changes([max(1, _length(caption)) for caption in captions], said)
    starts = [_moment(change, spans, said, bisect_right) for change in changes[:-1]]
    ends = [_moment(change, spans, said, bisect_left) for change in changes[1:]]
    limits = [*starts[1:], seconds]
    shown = [min(end + _LINGER_SECONDS, limit) for end, limit in zip(ends, limits, strict=True)]
    groups = [
        _spread(group, change, spans, said)
        for group, change in zip(_grouped(words, captions) or [], pairwise(changes), strict=True)
    ]
    return list(map(Cue, starts, shown, map(_lines, captions), groups))


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
    if spoken.SENTENCE_END.search(word):
        cost = 0.0
    elif spoken.CLAUSE_END.search(word):
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


class _Part(NamedTuple):
    """A word, or a part of one, in a caption: its text, and where it lies in the word, from 0 to 1."""

    word: int
    text: str
    first: float = 0.0
    last: float = 1.0


def _grouped(words: Sequence[str], captions: Sequence[Sequence[_Token]]) -> list[list[_Part]] | None:
    """The words of each caption; None if they are not those of the captions."""
    letters = [_seen("".join(token.text for token in caption)) for caption in captions]
    seen = list(map(_seen, words))
    if "".join(letters) != "".join(seen):
        return None
    ends = list(accumulate(map(len, letters)))
    groups: list[list[_Part]] = [[] for _ in captions]
    at = caption = 0
    for number, word in enumerate(seen):
        done = 0
        while done < len(word):
            while ends[caption] <= at:
                caption += 1
            taken = min(len(word) - done, ends[caption] - at)
            share = (done / len(word), (done + taken) / len(word))
            text = words[number] if taken == len(word) else word[done : done + taken]
            groups[caption].append(_Part(number, text, *share))
            done, at = done + taken, at + taken
    return groups


def _seen(text: str) -> str:
    return "".join(letter for letter in text if not letter.isspace() and letter not in BREAKS)


def _timed(
    words: Sequence[Word], captions: Sequence[Sequence[_Token]], seconds: float
) -> list[tuple[Word, ...]] | None:
    """The timed words of each caption, within the time that there is; None if they are of another text."""
    groups = _grouped([word.text for word in words], captions)
    if groups is None:
        return None
    return [tuple(_part_of(words[part.word], part, seconds) for part in group) for group in groups]


def _part_of(word: Word, part: _Part, seconds: float) -> Word:
    length = word.end - word.start
    start, end = (min(word.start + share * length, seconds) for share in (part.first, part.last))
    return Word(start, end, part.text)


def _shown_times(groups: Sequence[Sequence[Word]], seconds: float) -> list[Span]:
    """When captions with these words are shown."""
    starts = [
        next((word.start for word in group if word.end > word.start), group[0].start) for group in groups
    ]
    starts = list(accumulate(starts, max))
    limits = [*starts[1:], seconds]
    return [
        (start, max(start, min(group[-1].end + _LINGER_SECONDS, limit)))
        for start, limit, group in zip(starts, limits, groups, strict=True)
    ]


def _spread(
    group: Sequence[_Part], change: tuple[float, float], spans: list[Span], said: list[float]
) -> tuple[Word, ...]:
    """Words that share the speech from one change of captions to the next."""
    lengths = [spoken.seconds(part.text) for part in group]
    total = sum(lengths) or 1.0
    start, end = change
    edges = [min(start + (end - start) * at / total, end) for at in accumulate(lengths, initial=0.0)]
    words = []
    for part, (a, b) in zip(group, pairwise(edges), strict=True):
        # What takes no time stands before a pause; but what begins a caption, after it, as the caption does.
        begins_after = b > a or a == start
        first = _moment(a, spans, said, bisect_right if begins_after else bisect_left)
        words.append(Word(first, _moment(b, spans, said, bisect_left) if b > a else first, part.text))
    return tuple(words)
