"""The size and frame rate of a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import TypeVar

from .delivery import Delivery
from .footage import Footage

_ROUNDING = 64
"""Models round the sides of a clip down by less than this."""

_HIGHEST = 30
"""Frames a second of a film of shots that differ in rate: more would only repeat those of most shots."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Canvas:
    """The frames of a film: their size in pixels, even, and how many there are in a second."""

    width: int
    height: int
    fps: Fraction

    def __str__(self) -> str:
        return f"{self.width}x{self.height}@{self.fps}"


def canvas_of(shots: Sequence[Footage], size: tuple[int, int] | None = None) -> Canvas:
    """The canvas of a film of these shots.

    Shots that are equally large have a film of their size. Otherwise it has the size `size`, turned on its
    side if all shots are; shots that a model made for this size are smaller by what the model rounds, and
    the film is then as large as they are. Without `size`, it has the size that it shows for the longest time.

    Shots of one frame rate have a film of that rate. Otherwise it has the highest that one of them has, up to
    30, so that of no shot frames are left out; faster shots count with every second frame, as 50 with 25.

    Args:
        shots: the clips, one at least.
        size: the size of the story's clips.
    """
    width, height = _size(shots, size)
    return Canvas(width, height, _rate([shot.fps for shot in shots], [shot.steady_fps for shot in shots]))


def delivered(canvas: Canvas, delivery: Delivery) -> Canvas:
    """The canvas with the size and frame rate that the delivery asks for."""
    size = (delivery.width, delivery.height) if delivery.width else (canvas.width, canvas.height)
    return Canvas(*size, Fraction(delivery.fps) if delivery.fps else canvas.fps)


def differs(canvas: Canvas, shots: Sequence[Footage]) -> bool:
    """Whether the film is another one than if its canvas were that of its first shot as that is stored."""
    first = shots[0].info
    is_first = (canvas.width, canvas.height, canvas.fps) == (first.width, first.height, first.fps)
    return not (is_first and all(shot.is_plain for shot in shots))


def _rate(stated: Sequence[Fraction], steady: Sequence[Fraction]) -> Fraction:
    if len(set(stated)) == 1:
        return stated[0]
    return max(rate / ceil(rate / _HIGHEST) for rate in steady)


def _size(shots: Sequence[Footage], size: tuple[int, int] | None) -> tuple[int, int]:
    sizes = [shot.size for shot in shots]
    if size is None or len(set(sizes)) == 1:
        # Of sizes that prevail equally, the largest.
        largest_first = sorted(shots, key=lambda shot: -shot.width * shot.height)
        return _prevailing(largest_first, [shot.size for shot in largest_first])
    width, height = size
    if all(_is_upright(shot) != (height > width) and shot[0] != shot[1] for shot in sizes):
        width, height = height, width
    made_for_it = [
        shot
        for shot in shots
        if 0 <= width - shot.width < _ROUNDING and 0 <= height - shot.height < _ROUNDING
    ]
    if made_for_it:
        return _size(made_for_it, None)
    return width + width % 2, height + height % 2


def _is_upright(size: tuple[int, int]) -> bool:
    return size[1] > size[0]


def _prevailing(shots: Sequence[Footage], values: Sequence[_T]) -> _T:
    """The value that the film has for the longest time; then the one of most shots, then the first."""
    weights: dict[_T, tuple[int, int]] = {}
    for shot, value in zip(shots, values, strict=True):
        milliseconds, count = weights.get(value, (0, 0))
        weights[value] = milliseconds + round(shot.info.video_seconds * 1000), count + 1
    return max(weights, key=lambda value: weights[value])
