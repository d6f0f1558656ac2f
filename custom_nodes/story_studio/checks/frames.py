"""Faults of single frames: where the image stands still, is black, flashes, or loses its sharpness."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from .figures import Frames, Span
from .reduced import Reduced

_STILL = 2
"""In levels of 255: the change of the grey copy that the noise of a codec makes of two equal frames."""
_STILL_SINCE = 3
"""The same, against the frame at which the image came to a stand: a slow zoom is no freeze."""
_STILL_PART = 0.999
"""The part of the image that has to stand still: the rest is less than a mouth, and may be noise."""
_FREEZE_SECONDS = 0.4
_BLACK_LEVEL, _BLACK_PART = 0.1 * 255, 0.98
"""As FFmpeg's blackdetect has them."""
_PULSE = 3
"""Frames within which a flash rises, and within which it is gone."""
_SHARPNESS_EVERY = 4
_SHARPNESS_SECONDS = 0.5


class FrameFaults:
    """Measures frames as they come, in memory that does not grow with their number."""

    def __init__(self) -> None:
        self._freeze, self._black = _Freeze(), _Spans(0.0)
        self._flicker, self._sharpness = _Flicker(), _Sharpness()
        self._end = 0.0

    def add(self, frame: Reduced) -> None:
        """Adds the next frame."""
        is_black = bool(np.quantile(frame.grey, _BLACK_PART) < _BLACK_LEVEL)
        self._black.add(frame.at, is_black)
        # Black frames are a fault of their own: that they stand still, and flash, is not another one.
        self._freeze.add(frame, is_black)
        self._flicker.add(frame, is_black)
        self._sharpness.add(frame, is_black)

    def result(self, end: float) -> Frames:
        """The faults of all frames, the last of which is shown until `end`, in seconds."""
        flicker, flicker_at = self._flicker.largest()
        sharpness, sharpness_at = self._sharpness.lowest()
        return Frames(
            frozen=self._freeze.spans.close(end),
            black=self._black.close(end),
            flicker=round(flicker, 2),
            flicker_at=flicker_at,
            sharpness=round(sharpness, 3),
            sharpness_at=sharpness_at,
        )


class _Spans:
    """Gathers the spans in which something is the case, those of a least length in seconds."""

    def __init__(self, least: float) -> None:
        self._least = least
        self._spans: list[Span] = []
        self._start: float | None = None

    def add(self, at: float, applies: bool, since: float | None = None) -> None:
        if not applies:
            self._end_at(at)
        elif self._start is None:
            self._start = at if since is None else since

    def close(self, end: float) -> list[Span]:
        self._end_at(end)
        return self._spans

    def _end_at(self, at: float) -> None:
        if self._start is not None and at - self._start >= self._least:
            self._spans.append(Span(start=round(self._start, 3), end=round(at, 3)))
        self._start = None


class _Freeze:
    def __init__(self) -> None:
        self.spans = _Spans(_FREEZE_SECONDS)
        self._since: Reduced | None = None
        self._previous: Reduced | None = None

    def add(self, frame: Reduced, is_black: bool) -> None:
        previous, since = self._previous, self._since
        is_still = (
            previous is not None
            and since is not None
            and not is_black
            and _change(frame, previous) <= _STILL
            and _change(frame, since) <= _STILL_SINCE
        )
        self.spans.add(frame.at, is_still, previous.at if previous else None)
        self._previous = frame
        if not is_still:
            self._since = frame


def _change(frame: Reduced, other: Reduced) -> float:
    change = np.abs(frame.grey - other.grey).reshape(-1)
    rank = int(_STILL_PART * (change.size - 1))
    return float(np.partition(change, rank)[rank])


@dataclass(frozen=True, eq=False)
class _Moment:
    """A frame of a flash: its brightness, and by how much it is brighter than each of the last ones."""

    at: float
    light: np.ndarray
    rises: list[float]


class _Flicker:
    """A change of brightness of most of the image that goes back within a few frames.

    It is the median over the image, which what moves through a part of it does not change.
    """

    def __init__(self) -> None:
        self._recent: deque[_Moment] = deque(maxlen=2 * _PULSE + 1)
        self._largest: tuple[float, float | None] = (0.0, None)

    def add(self, frame: Reduced, is_black: bool) -> None:
        if is_black:
            self._recent.clear()
            return
        light = frame.colors.astype(np.float32).mean(axis=2)
        before = list(self._recent)[: -_PULSE - 1 : -1]
        self._recent.append(_Moment(frame.at, light, [float(np.median(light - one.light)) for one in before]))
        if len(self._recent) > _PULSE + 1:
            self._judge(list(self._recent))

    def _judge(self, recent: list[_Moment]) -> None:
        middle = recent[-_PULSE - 1]
        falls = [-recent[-_PULSE - 1 + after].rises[after - 1] for after in range(1, _PULSE + 1)]
        for sign in (1, -1):
            pulse = min(max(sign * one for one in middle.rises), max(sign * one for one in falls))
            if pulse > self._largest[0]:
                self._largest = pulse, round(middle.at, 3)

    def largest(self) -> tuple[float, float | None]:
        return self._largest


class _Sharpness:
    """The variance of the Laplacian of luma (Pech-Pacheco et al., 2000), the median of each half second."""

    def __init__(self) -> None:
        self._frames = 0
        self._first: list[float] = []
        self._values: list[float] = []
        self._since = 0.0
        self._lowest: tuple[float, float | None] = (1.0, None)

    def add(self, frame: Reduced, is_black: bool) -> None:
        self._frames += 1
        if (self._frames - 1) % _SHARPNESS_EVERY or is_black:
            return
        if frame.at - self._since >= _SHARPNESS_SECONDS:
            self._judge()
            self._since = frame.at
        value = _laplacian_variance(frame.luma)
        (self._first if frame.at < 1 else self._values).append(value)

    def _judge(self) -> None:
        if self._values and self._first and (reference := float(np.median(self._first))):
            ratio = float(np.median(self._values)) / reference
            if ratio < self._lowest[0]:
                self._lowest = ratio, round(self._since, 3)
        self._values = []

    def lowest(self) -> tuple[float, float | None]:
        self._judge()
        return self._lowest


def _laplacian_variance(luma: np.ndarray) -> float:
    # Every other row, for speed, after the differences between rows.
    pixels = luma.astype(np.int16)
    middle = pixels[1:-1:2]
    laplacian = middle[:, :-2] + middle[:, 2:] + pixels[:-2:2, 1:-1] + pixels[2::2, 1:-1][: len(middle)]
    return float(np.var(laplacian - 4 * middle[:, 1:-1], dtype=np.float32)) if laplacian.size else 0.0
