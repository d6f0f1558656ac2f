"""The likeliest times of words in the loudness of a recording, by dynamic programming.

A path lays each word from one candidate to a later one. It costs what makes it unlikely: words much longer or
shorter than expected at the pace of the whole, silence within words, sound outside of them, words that meet
where the voice is loud, and pauses that do not fit the punctuation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .captions import Span
from .spoken import Pause

_SPREAD = 0.37
"""Standard deviation of the natural logarithm of a word's length around the expected one."""
_LONGEST_STEP = 8
"""Levels between two candidates for the end of a word, at most."""
_LONGEST_WORD = 1.6
_BAND = 1200
"""Candidates that are considered for the end of a word: about a minute."""
_CLOSURE, _SILENCE_COST = 0.08, 40.0
"""Silence within a word: seconds that a consonant such as t has, and the cost of each further second."""
_SKIP_COST = 8.0
"""Cost of a second of sound that belongs to no word."""
_JOINT_COST = 1.4
"""Cost of words that meet where the voice is as loud as around it."""
_DEEP = 40.0
"""Depth in dB of a dip that costs nothing."""
_NO_PAUSE: dict[Pause, float] = {"sentence": 3.5, "clause": 1.0, "none": 0.3}
"""Cost of no pause after a word."""
_LEAST_PAUSE, _PAUSE = 0.15, 0.35
"""Seconds that count as a pause, and that one usually lasts."""
_DEAREST, _CHEAPEST = 10.0, 2.5
"""Cost of a second of pause after a word without punctuation, at most and at least."""


@dataclass(frozen=True)
class Grid:
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
    def of(cls, level: np.ndarray, loud: np.ndarray, hop: float) -> Grid:
        """The grid of levels in dB, of which some are loud, every `hop` seconds."""
        smooth = np.convolve(np.pad(level, 3, "edge"), np.array([1, 2, 3, 4, 3, 2, 1]) / 16, "valid")
        at = _candidates(smooth, loud)
        padded = np.concatenate([[False], loud, [False]])
        opens, closes = padded[at + 1], padded[at]
        width = np.diff(at) * hop
        quiet = ~opens[:-1]
        run = np.where(quiet, width, 0.0)
        inside = np.where(quiet, np.maximum(0.0, width - _CLOSURE) * _SILENCE_COST, 0.0)
        return cls(
            at * hop,
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


class _Step(NamedTuple):
    """How a word came to its end at each candidate of the band.

    Attributes:
        low: the first candidate of the band.
        lengths: uint8 [band], from the candidate of the word's start to that of its end.
        sources: int16 [band], where in the band the word ends if the next one starts at a candidate.
    """

    low: int
    lengths: np.ndarray
    sources: np.ndarray


def search(grid: Grid, expected: np.ndarray, pauses: Sequence[Pause]) -> list[Span] | None:
    """The cheapest spans of words.

    Args:
        grid: the candidates.
        expected: lengths of the words in seconds.
        pauses: after the words.

    Returns:
        The start and end of each word in seconds; None if there are more words than fit.
    """
    count, low = len(grid.times), 0
    ready = np.where(grid.opens[:_BAND], grid.skipped[:_BAND], np.inf)
    history: list[_Step] = []
    unmarked = _cost_of_unmarked_pauses(grid, pauses)
    end = ready
    for length, pause in zip(expected, pauses, strict=True):
        end, lengths = _ends(grid, ready, low, float(length))
        ready, sources = _starts(grid, end, low, pause, unmarked if pause == "none" else 0.0)
        history.append(_Step(low, lengths, sources))
        likeliest = int(end.argmin())
        if not np.isfinite(end[likeliest]):
            return None
        # The band moves on, with the likeliest end a third into it.
        moved = min(max(low, low + likeliest - _BAND // 3), max(low, count - _BAND))
        kept = ready[moved - low :]
        ready = np.pad(kept, (0, min(count, moved + _BAND) - moved - len(kept)), constant_values=np.inf)
        low = moved
    last = history[-1].low
    total = end + (grid.skipped[-1] - grid.skipped[last : last + len(end)])
    return _traced(grid, history, int(total.argmin()))


def _cost_of_unmarked_pauses(grid: Grid, pauses: Sequence[Pause]) -> float:
    """The cost of a second of pause after a word without punctuation: the rarer they are, the dearer.

    It tells fluent speech, whose pauses show where its clauses end, from dictation, with one after each word.
    """
    marked = sum(pause != "none" for pause in pauses[:-1])
    # Without the silence before and after all words.
    found = int((np.diff(grid.pauses)[1:-1] >= _LEAST_PAUSE).sum())
    share = min(max((found - marked) / max(1, len(pauses) - 1 - marked), 0.01), 1.0)
    return float(np.clip(-np.log(share) / _PAUSE, _CHEAPEST, _DEAREST))


def _ends(grid: Grid, ready: np.ndarray, low: int, length: float) -> tuple[np.ndarray, np.ndarray]:
    """The cost of a word's end at each candidate of the band, and how many candidates its start is before."""
    size = len(ready)
    times, silence = grid.times[low : low + size], grid.silence[low : low + size]
    longest = max(_LONGEST_WORD, 3 * length)
    most = int((np.arange(size) - np.searchsorted(times, times - longest)).max(initial=1))
    best = np.full(size, np.inf)
    lengths = np.zeros(size, np.uint8)
    for step in range(1, min(most, size - 1, 255) + 1):
        deviation = np.log((times[step:] - times[:-step]) / length) / _SPREAD
        cost = ready[:-step] + deviation**2 / 2 + silence[step:] - silence[:-step]
        better = cost < best[step:]
        best[step:][better] = cost[better]
        lengths[step:][better] = step
    return np.where(grid.closes[low : low + size], best, np.inf), lengths


def _starts(
    grid: Grid, end: np.ndarray, low: int, pause: Pause, cost: float
) -> tuple[np.ndarray, np.ndarray]:
    """The cost of the next word's start at each candidate of the band, and where the word before ended."""
    band = slice(low, low + len(end))
    opens = grid.opens[band]
    moving = grid.skipped[band] + grid.pauses[band] * cost
    left = end + np.where(opens, grid.joint[band] + _NO_PAUSE[pause], 0.0) - moving
    least = np.minimum.accumulate(left)
    at = np.where(left <= least, np.arange(len(end), dtype=np.int16), np.int16(0))
    return np.where(opens, least + moving, np.inf), np.maximum.accumulate(at)


def _traced(grid: Grid, steps: Sequence[_Step], last: int) -> list[Span]:
    """The spans of the words of these steps on the path that ends at this candidate of the last band."""
    spans: list[Span] = []
    at = steps[-1].low + last
    for number in range(len(steps) - 1, -1, -1):
        step = steps[number]
        start = at - int(step.lengths[at - step.low])
        spans.append((float(grid.times[start]), float(grid.times[at])))
        if number:
            before = steps[number - 1]
            at = before.low + int(before.sources[start - before.low])
    return spans[::-1]
