"""When each word of a text is said, judging from the loudness of its recording, without a speech model.

The words are laid over the recording by dynamic programming: each about as long as it takes to say, its ends
in pauses or in dips of the loudness, with pauses where the punctuation asks for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from ..signal.voice_levels import is_speech, levels_of
from . import spoken
from .captions import Span, Word
from .word_search import Grid, search


class WordTimes(NamedTuple):
    """When the words of a text are said in its recording.

    Attributes:
        words: all of `spoken.words`, in order and without overlaps.
        how: `aligned` with the letters that a speech model has read from the recording, or `estimated` from
            its loudness.
        confidence: of aligned words the geometric mean of the probabilities of their letters, 0 to 1; else 0.
    """

    words: tuple[Word, ...]
    how: Literal["aligned", "estimated"]
    confidence: float = 0.0


_HOP = 0.01
"""Seconds between two levels."""
_REACH = 0.3
"""Seconds by which the loudness moves an end of an aligned word, at most."""


def detected(text: str, waveform: np.ndarray, sample_rate: int) -> list[Word]:
    """The words of `text` in order, with times in seconds; punctuation that stands alone takes no time.

    Args:
        text: what is said, in any language.
        waveform: float32 [channels, samples].
        sample_rate: in Hz.

    Returns:
        Every word of `spoken.words(text)`, in order and without overlaps. Without any speech in the recording
        they share its whole length.
    """
    return estimate(spoken.words(text), level_of(waveform, sample_rate), waveform.shape[1] / sample_rate)


def level_of(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """The level of what is heard of float32 audio [channels, samples], in dB, every 10 ms: float32 [n]."""
    return levels_of(lambda start, end: waveform[:, start:end], waveform.shape[1], sample_rate, _HOP)


def estimate(words: Sequence[str], level: np.ndarray, seconds: float) -> list[Word]:
    """`detected` for words and the levels of a recording that lasts `seconds`."""
    said = [word for word in words if spoken.seconds(word)]
    if not said:
        return [Word(0.0, 0.0, word) for word in words]
    loud = _loud(level)
    spans = _aligned(said, level, loud) if loud.any() else None
    if spans is None:
        lengths = np.cumsum([0.0, *map(spoken.seconds, said)])
        times = lengths * seconds / lengths[-1]
        spans = list(zip(times[:-1].tolist(), times[1:].tolist(), strict=True))
    return _complete(words, spans, seconds)


def fit(words: Sequence[str], spans: Sequence[Span | None], level: np.ndarray, seconds: float) -> list[Word]:
    """Words whose letters have been found in a recording, with their ends moved to where its loudness ends.

    A speech model trained with CTC marks each letter for a moment somewhere within its sound.

    Args:
        words: in order.
        spans: the first and last moment of each word's letters, in seconds; None for one without a sound.
        level: of the recording, from `level_of`.
        seconds: of the recording.
    """
    known = [list(span) for span in spans if span is not None]
    loud = _loud(level)
    quiet = np.concatenate([[0], np.flatnonzero(~loud), [len(loud)]])
    for before, after in zip(known[:-1], known[1:], strict=True):
        before[1], after[0] = _edges(before[1], after[0], level, quiet)
    if known:
        known[0][0] = _edges(0.0, known[0][0], level, quiet)[1]
        known[-1][1] = _edges(known[-1][1], seconds, level, quiet)[0]
    # The levels are 10 ms apart, and letters can be nearer to each other.
    moments = np.maximum.accumulate(np.array(known).reshape(-1)).reshape(-1, 2)
    return _complete(words, [(start, end) for start, end in moments.tolist()], seconds)


def _edges(end: float, start: float, level: np.ndarray, quiet: np.ndarray) -> Span:
    """The end of a word and the start of the next one, when the letters of both are known to be outside.

    Args:
        end, start: of the letters.
        level: of the recording.
        quiet: indices of levels without speech, in order, with 0 and the number of levels.
    """
    first, last = (min(max(round(moment / _HOP), 0), len(level)) for moment in (end, start))
    if last <= first:
        return end, max(end, start)
    opening = int(quiet[np.searchsorted(quiet, first)])
    if opening >= last:
        dip = first + int(np.argmin(level[first:last]))
        moment = min(max(dip * _HOP + _HOP / 2, end), start)
        return moment, moment
    closing = int(quiet[np.searchsorted(quiet, last, "right") - 1]) + 1
    return min(opening * _HOP, end + _REACH), max(closing * _HOP, start - _REACH)


def _complete(words: Sequence[str], spans: Sequence[Span], seconds: float) -> list[Word]:
    """All words, when the times of those that take time to say are known."""
    result: list[Word] = []
    waiting = iter(spans)
    for word in words:
        if spoken.seconds(word):
            start, end = next(waiting)
            result.append(Word(min(start, seconds), min(end, seconds), word))
        else:
            moment = result[-1].end if result else min(spans[0][0], seconds)
            result.append(Word(moment, moment, word))
    return result


def _loud(level: np.ndarray) -> np.ndarray:
    """Which levels are speech, where a click of 10 ms is not, and 10 ms of silence are not a pause."""
    speech = is_speech(level)
    return np.convolve(speech, np.ones(3), "same")[: len(level)] >= 2 if len(level) else speech


def _aligned(words: Sequence[str], level: np.ndarray, loud: np.ndarray) -> list[Span] | None:
    lengths = np.array([spoken.seconds(word) for word in words])
    expected = lengths * (loud.sum() * _HOP / lengths.sum())
    return search(Grid.of(level, loud, _HOP), expected, [spoken.pause_after(word) for word in words])
