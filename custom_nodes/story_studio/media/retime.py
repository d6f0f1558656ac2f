"""Frames at another rate: interpolated along their motion, blended or repeated, one frame after the other."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import lcm

import av
from av.filter import Graph

from ..story.formats import Interpolation
from .decoder import pulled

_MODES = {
    # On talking clips ffmpeg's slower searches gain nothing. A clip has no cuts for `scd` to find.
    "motion": "mi_mode=mci:scd=none",
    "blend": "mi_mode=blend:scd=none",
}
_HELD = 3
"""How often the first and the last frame are repeated: ffmpeg's minterpolate outputs nothing between its
first two frames nor its last two."""


class Retimer:
    """Frames of one rate in, frames of another rate out: frame i of either shows the time i / rate.

    Exactly `count` frames come out, whatever comes in: what is beyond is dropped, and the last frame is held.
    Frames whose time both rates have pass unchanged. In flat memory.

    Args:
        rate: of the frames that are pushed, in frames a second.
        target: of the frames that come out.
        interpolation: what is between two frames: `motion` moves each block along its motion, `blend` mixes
            the two, `repeat` shows the nearer one.
        count: how many frames come out, 1 at least.
    """

    def __init__(self, rate: Fraction, target: Fraction, interpolation: Interpolation, count: int):
        self._rate, self._target, self._count = rate, target, count
        self._options = _MODES.get(interpolation) if rate != target else None
        self._graph: Graph | None = None
        self._last: av.VideoFrame | None = None
        self._pushed = self._out = 0
        self._time_base = Fraction(1, lcm(rate.numerator, target.numerator))

    @property
    def is_filtered(self) -> bool:
        """Whether ffmpeg makes the frames, which then have to be yuv420p."""
        return self._options is not None

    def push(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Takes the next frame, and yields those that are complete."""
        self._last = frame
        index, self._pushed = self._pushed, self._pushed + 1
        if not self._options:
            yield from self._repeated(index)
            return
        if index == 0:
            self._graph = self._filter(frame)
            # The copies' times keep the grid of the output frames at 0.
            before = -(-2 * self._target // self._rate)
            yield from self._filtered(frame, -before / self._target)
            yield from self._filtered(frame, -1 / self._rate)
        yield from self._filtered(frame, index / self._rate)

    def end(self) -> Iterator[av.VideoFrame]:
        """Yields the frames that are left.

        Raises:
            ValueError: no frame was pushed.
        """
        if self._last is None:
            raise ValueError("There is no frame to show: the clip has none that can be decoded.")
        if self._graph:
            for held in range(_HELD):
                yield from self._filtered(self._last, (self._pushed + held) / self._rate)
            self._graph.vpush(None)
            yield from self._pulled()
        while self._out < self._count:
            self._out += 1
            yield self._last

    def _repeated(self, index: int) -> Iterator[av.VideoFrame]:
        """The output frames whose time is nearer to this frame than to the next one."""
        assert self._last is not None
        while self._out < self._count and self._out / self._target < (index + Fraction(1, 2)) / self._rate:
            self._out += 1
            yield self._last

    def _filter(self, frame: av.VideoFrame) -> Graph:
        graph = Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=self._time_base
        )
        steps = (graph.add("minterpolate", f"fps={self._target}:{self._options}"), graph.add("buffersink"))
        graph.link_nodes(source, *steps).configure()
        return graph

    def _filtered(self, frame: av.VideoFrame, time: Fraction) -> Iterator[av.VideoFrame]:
        assert self._graph
        frame.pts, frame.time_base = round(time / self._time_base), self._time_base
        self._graph.vpush(frame)
        yield from self._pulled()

    def _pulled(self) -> Iterator[av.VideoFrame]:
        assert self._graph
        for frame in pulled(self._graph):
            assert frame.pts is not None and frame.time_base
            if frame.pts * frame.time_base >= 0 and self._out < self._count:
                self._out += 1
                yield frame


def retimed(
    frames: Iterator[av.VideoFrame],
    rate: Fraction,
    target: Fraction,
    interpolation: Interpolation,
    count: int,
) -> Iterator[av.VideoFrame]:
    """All frames of a `Retimer`, for all frames that it takes."""
    retimer = Retimer(rate, target, interpolation, count)
    for frame in frames:
        yield from retimer.push(frame)
    yield from retimer.end()
