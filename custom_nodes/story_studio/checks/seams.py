"""Jumps between two frames, as where chunks of a talking video meet, or where a clip is cut.

A gesture, a blink or a turn of the head changes a part of the image, over several frames. A seam changes most
of the image from one frame to the next. So the median of the parts of the image counts, as a multiple of the
largest change of the frames around it.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from .figures import Seams
from .reduced import Reduced

_AROUND = 4
"""Frames before and after that a change is compared with."""
_COLOR_PARTS, _MOTION_PARTS = 6, 8
"""The image is divided into as many rows and columns."""
_LARGE = 16.0
"""Levels of 255: what moves changes a pixel by more than a seam of colours does, and counts as this."""
_COLOR_FLOOR, _MOTION_FLOOR = 0.6, 1.0
"""Levels of 255 that are added to the changes around: a multiple of nothing is not visible."""
_COLOR_WEIGHT = 1.3
"""Clips without seams have as large multiples of changes in place as of this times those of colours."""


class _Change(NamedTuple):
    """By how much a frame differs from the one before, in levels of 255: its colours, and its pixels."""

    at: float
    color: float
    motion: float


class SeamMeter:
    """Measures frames as they come, in memory that does not grow with their number."""

    def __init__(self) -> None:
        self._previous: Reduced | None = None
        self._recent: deque[_Change] = deque(maxlen=2 * _AROUND + 1)
        self._largest: tuple[float, float | None] = (0.0, None)

    def add(self, frame: Reduced) -> None:
        """Adds the next frame."""
        if self._previous is not None:
            self._recent.append(_change(self._previous, frame))
            # The first changes have few before them, so they are judged when they are in the middle as well.
            self._judge(len(self._recent) - 1 - _AROUND)
        self._previous = frame

    def result(self) -> Seams:
        """The largest jump; that to the second frame and to the last one has nothing to compare with."""
        for index in range(max(1, len(self._recent) - _AROUND), len(self._recent) - 1):
            self._judge(index)
        largest, at = self._largest
        return Seams(largest=round(largest, 2), at=at)

    def _judge(self, index: int) -> None:
        # The first change of all has none before it.
        if index < 1:
            return
        recent = list(self._recent)
        change = recent[index]
        around = recent[max(0, index - _AROUND) : index] + recent[index + 1 : index + 1 + _AROUND]
        color = change.color / (max(one.color for one in around) + _COLOR_FLOOR)
        motion = change.motion / (max(one.motion for one in around) + _MOTION_FLOOR)
        multiple = max(_COLOR_WEIGHT * color, motion)
        if multiple > self._largest[0]:
            self._largest = multiple, round(change.at, 3)


def _change(before: Reduced, after: Reduced) -> _Change:
    colors = np.clip(after.colors.astype(np.float32) - before.colors, -_LARGE, _LARGE)
    moved = np.abs(after.grey - before.grey).astype(np.float32)
    color = np.median(np.linalg.norm(_parts(colors, _COLOR_PARTS), axis=1))
    return _Change(after.at, float(color), float(np.median(_parts(moved[:, :, None], _MOTION_PARTS))))


def _parts(values: np.ndarray, number: int) -> np.ndarray:
    """The means of parts of the image, `number` rows and columns of them: [parts, channels]."""
    for axis in (0, 1):
        starts = np.unique(np.arange(number) * values.shape[axis] // number)
        sizes = np.diff(np.append(starts, values.shape[axis]))
        sums = np.add.reduceat(values, starts, axis=axis)
        values = sums / np.expand_dims(sizes, (1, 2) if axis == 0 else (0, 2))
    return values.reshape(-1, values.shape[2])
