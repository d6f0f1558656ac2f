"""When each word of a text is said, judging from the loudness of its recording, without a speech model.

The words are laid over the recording by dynamic programming: each about as long as it takes to say, its ends
in pauses or in dips of the loudness, with pauses where the punctuation asks for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from ..story import levels
from . import spoken
from .captions import Span, Word
from .spoken import Pause


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
_PIECE = 2**18
"""Samples that are measured at a time."""
_SPREAD = 0.37
"""Standard deviation of the natural logarithm of a word's length around the expected one."""
_LONGEST_STEP = 8
"""Levels between two candidates for the end of a word, at most."""
_LONGEST_WORD = 1.6
_BAND = 1200
"""Candidates that are considered for the end of a word: about a minute and a half."""
_CLOSURE, _SILENCE_COST = 0.08, 40.0
"""Silence within a word: seconds that a consonant such as t has, and the cost of each further second."""
_SKIP_COST = 8.0
"""Cost of a second of sound that belongs to no word."""
_JOINT_COST = 1.4
"""Cost of words that meet where the voice is as loud as around it."""
_DEEP = 40.0
"""Depth in dB of a dip that costs nothing."""
_REACH = 0.3
"""Seconds by which the loudness moves an end of an aligned word, at most."""
_NO_PAUSE: dict[Pause, float] = {"sentence": 3.5, "clause": 1.0, "none": 0.3}
_PAUSE: dict[Pause, float] = {"sentence": 0.0, "clause": 0.0, "none": 2.5}
"""Costs of no pause after a word, and of a second of pause."""


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
    measured = levels.measure(waveform)
    hop = sample_rate * _HOP
    count = int(waveform.shape[1] / hop)
    edges = np.round(np.arange(count + 1) * hop).astype(np.int64)
    power = np.zeros(count)
    per_piece = max(1, int(_PIECE / hop))
    for first in range(0, count, per_piece):
        bounds = edges[first : first + per_piece + 1]
        piece = levels.repaired(waveform[:, bounds[0] : bounds[-1]])
        mono = piece.mean(axis=0) if measured.heard is None else piece[measured.heard]
        squares = np.square(mono - np.float32(measured.heard_offset), dtype=np.float64)
        sums = np.add.reduceat(squares, bounds[:-1] - bounds[0])
        power[first : first + per_piece] = sums / np.diff(bounds)
    return (10 * np.log10(power + 1e-12)).astype(np.float32)


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
    return _complete(words, [(start, max(start, end)) for start, end in known], seconds)


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
    """Which levels are speech; the thresholds are those of `captions.speech_spans`."""
    if not len(level):
        return np.zeros(0, bool)
    floor, peak = np.percentile(level, (10, 95))
    if peak < -60:
        return np.zeros(len(level), bool)
    loud = level > max(peak - 35, min(floor + 8, peak - 12))
    # A click of 10 ms is no speech, and 10 ms of silence are no pause.
    return np.convolve(loud, np.ones(3), "same") >= 2


@dataclass(frozen=True)
class _Grid:
    """Where words can end, in order.

    Attributes:
        times: of each candidate, in seconds.
        opens, closes: whether speech follows, or goes before it.
        joint: the cost of words that meet there.
        silence: cost of all silence before it, if within words.
        skipped: cost of all speech before it, if it belongs to no word.
        pauses: seconds of all silence before it.
    """

    times: np.ndarray
    opens: np.ndarray
    closes: np.ndarray
    joint: np.ndarray
    silence: np.ndarray
    skipped: np.ndarray
    pauses: np.ndarray

    @classmethod
    def of(cls, level: np.ndarray, loud: np.ndarray) -> _Grid:
        smooth = np.convolve(np.pad(level, 3, "edge"), np.array([1, 2, 3, 4, 3, 2, 1]) / 16, "valid")
        at = _candidates(smooth, loud)
        padded = np.concatenate([[False], loud, [False]])
        opens, closes = padded[at + 1], padded[at]
        width = np.diff(at) * _HOP
        quiet = ~opens[:-1]
        run = np.where(quiet, width, 0.0)
        inside = np.where(quiet, np.maximum(0.0, width - _CLOSURE) * _SILENCE_COST, 0.0)
        return cls(
            at * _HOP,
            opens,
            closes,
            _joint_costs(smooth, at),
            _summed(inside),
            _summed((width - run) * _SKIP_COST),
            _summed(run),
        )


def _summed(values: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(values)])


def _candidates(smooth: np.ndarray, loud: np.ndarray) -> np.ndarray:
    """Indices where words can end: the edges of speech, the dips in it, and some between those."""
    changes = np.flatnonzero(np.diff(loud.astype(np.int8))) + 1
    dips = np.flatnonzero((smooth[1:-1] <= smooth[:-2]) & (smooth[1:-1] < smooth[2:]) & loud[1:-1]) + 1
    known = np.union1d(changes, dips)
    known = np.union1d(known, [0, len(loud)])
    between = [
        np.linspace(a, b, int(-(-(b - a) // _LONGEST_STEP)) + 1)[1:-1].round().astype(np.int64)
        for a, b in zip(known[:-1], known[1:], strict=True)
        if b - a > _LONGEST_STEP and loud[a]
    ]
    return np.union1d(known, np.concatenate(between)) if between else known


def _joint_costs(smooth: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The cost of words that meet at a candidate: less where the voice is quieter there than around it."""
    reach = 12
    padded = np.pad(smooth, reach, "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach)
    inner = np.minimum(at, len(smooth) - 1)
    around = np.minimum(windows[inner].max(axis=1), windows[inner + reach].max(axis=1))
    depth = np.clip((around - smooth[inner]) / _DEEP, 0, 1)
    return _JOINT_COST * (1 - depth)


def _aligned(words: Sequence[str], level: np.ndarray, loud: np.ndarray) -> list[tuple[float, float]] | None:
    grid = _Grid.of(level, loud)
    lengths = np.array([spoken.seconds(word) for word in words])
    expected = lengths * (loud.sum() * _HOP / lengths.sum())
    return _search(grid, expected, [spoken.pause_after(word) for word in words])


def _search(grid: _Grid, expected: np.ndarray, pauses: Sequence[Pause]) -> list[tuple[float, float]] | None:
    """The cheapest spans of the words."""
    count = len(grid.times)
    low = 0
    ready = np.where(grid.opens[:_BAND], grid.skipped[:_BAND], np.inf)
    history: list[tuple[int, np.ndarray, np.ndarray]] = []
    end = ready
    for length, pause in zip(expected, pauses, strict=True):
        high = low + len(ready)
        end, steps = _ends(grid, ready, low, high, length)
        ready, sources = _starts(grid, end, low, high, pause)
        history.append((low, steps, sources))
        if not np.isfinite(end).any():
            return None
        # The band moves on, with the likeliest end a third into it.
        moved = min(max(low, low + int(end.argmin()) - _BAND // 3), max(low, count - _BAND))
        ready = _moved(ready, moved - low, min(count, moved + _BAND) - moved)
        low = moved
    total = end + (grid.skipped[-1] - grid.skipped[history[-1][0] : history[-1][0] + len(end)])
    return _traced(grid, history, int(total.argmin()))


def _moved(ready: np.ndarray, by: int, size: int) -> np.ndarray:
    kept = ready[by : by + size]
    return np.concatenate([kept, np.full(size - len(kept), np.inf)])


def _ends(
    grid: _Grid, ready: np.ndarray, low: int, high: int, length: float
) -> tuple[np.ndarray, np.ndarray]:
    """The cost of a word's end at each candidate of the band, and how many candidates its start is before."""
    times = grid.times[low:high]
    longest = max(_LONGEST_WORD, 3 * length)
    most = int((np.arange(len(times)) - np.searchsorted(times, times - longest)).max(initial=1))
    best = np.full(len(ready), np.inf)
    steps = np.zeros(len(ready), np.int16)
    silence = grid.silence[low:high]
    for step in range(1, min(most, len(times) - 1) + 1):
        long = times[step:] - times[:-step]
        deviation = np.log(long / length) / _SPREAD
        cost = ready[:-step] + deviation**2 / 2 + silence[step:] - silence[:-step]
        better = (cost < best[step:]) & grid.closes[low + step : high]
        best[step:][better] = cost[better]
        steps[step:][better] = step
    return best, steps


def _starts(grid: _Grid, end: np.ndarray, low: int, high: int, pause: Pause) -> tuple[np.ndarray, np.ndarray]:
    """The cost of the next word's start at each candidate of the band, and where the word before ended."""
    opens = grid.opens[low:high]
    moving = grid.skipped[low:high] + grid.pauses[low:high] * _PAUSE[pause]
    left = end + np.where(opens, grid.joint[low:high] + _NO_PAUSE[pause], 0.0) - moving
    least = np.minimum.accumulate(left)
    sources = np.maximum.accumulate(np.where(left <= least, np.arange(len(left)), 0))
    return np.where(opens, least + moving, np.inf), sources.astype(np.int16)


def _traced(
    grid: _Grid, history: Sequence[tuple[int, np.ndarray, np.ndarray]], last: int
) -> list[tuple[float, float]]:
    spans: list[tuple[float, float]] = []
    at = history[-1][0] + last
    for number in range(len(history) - 1, -1, -1):
        low, steps, _ = history[number]
        start = at - int(steps[at - low])
        spans.append((float(grid.times[start]), float(grid.times[at])))
        if number:
            low, _, sources = history[number - 1]
            at = low + int(sources[start - low])
    return spans[::-1]
