"""A clip cut into windows of a few frames, each changed on its own, and joined without a seam.

What changes the frames may return as many as it got, m times as many, or m - 1 more between each two. Windows
overlap by context, which is cut off afterwards. For what looks at each frame alone, or at it and the next,
the result is that of the whole clip at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_BYTES = 2**28
"""What the changed frames of a window may take, as 32-bit floats."""
_PROBE = 4
"""Frames of the first window, which shows how large the changed frames are."""
_MAX = 32
"""Frames of a window at most, so that progress shows and an interruption is not waited for."""


@dataclass(frozen=True)
class Window:
    """A part of a clip, in frames.

    Attributes:
        start, end: what it adds.
        first, last: what it reads, context included; `end` and `last` are exclusive.
    """

    start: int
    end: int
    first: int
    last: int


def first_window(frames: int, context: int) -> Window:
    """The window by which the others are measured, of a clip of this many frames."""
    return _window(0, min(_PROBE, frames), frames, context)


def later_windows(frames: int, context: int, frame_bytes: int) -> list[Window]:
    """The windows after the first one.

    Args:
        frames: of the clip.
        context: frames before and after a window that it reads too.
        frame_bytes: what becomes of one frame of the clip, as 32-bit floats.
    """
    begin = first_window(frames, context).end
    size = min(max(_BYTES // max(frame_bytes, 1), 2), _MAX)
    return [
        _window(start, min(start + size, frames), frames, context) for start in range(begin, frames, size)
    ]


def _window(start: int, end: int, frames: int, context: int) -> Window:
    return Window(start, end, max(0, start - context), min(frames, end + context))


class WindowReader:
    """Reads windows of frames, in order, from frames that are decoded once."""

    def __init__(self, frames: Iterator[np.ndarray]):
        """`frames`: RGB, uint8 [height, width, 3] each."""
        self._frames = frames
        self._kept: deque[np.ndarray] = deque()
        self._next = 0

    def read(self, window: Window) -> np.ndarray:
        """The frames of a window, uint8 [n, height, width, 3].

        Raises:
            ValueError: the clip has fewer frames, or the window begins before the one that was read last.
        """
        while self._kept and self._next - len(self._kept) < window.first:
            self._kept.popleft()
        while self._next < window.last:
            frame = next(self._frames, None)
            if frame is None:
                raise ValueError(f"The clip ends at frame {self._next}, not {window.last}.")
            self._next += 1
            if self._next > window.first:
                self._kept.append(frame)
        if self._next - len(self._kept) != window.first or self._next != window.last:
            raise ValueError("Windows can only be read in order.")
        return np.stack(self._kept)


def multiplier_of(frames: int, changed: int, expected: int) -> int | None:
    """By how much the frames of a window were multiplied; None if there is no such number.

    Args:
        frames: how many the window has.
        changed: what came back: frames * m, or (frames - 1) * m + 1.
        expected: what m should be; counts where m is not certain, as it can be for less than m frames.
    """
    found = [changed // frames] if changed and changed % frames == 0 else []
    if frames > 1 and changed > 1 and (changed - 1) % (frames - 1) == 0:
        found.append((changed - 1) // (frames - 1))
    return expected if expected in found else next(iter(found), None)


def added(window: Window, changed: int, multiplier: int, frames: int) -> slice:
    """Which of the changed frames of a window are its own, without context.

    Args:
        window: the window.
        changed: how many frames came back.
        multiplier: see `multiplier_of`.
        frames: of the clip; what follows the last of them is kept.

    Raises:
        ValueError: some are missing.
    """
    begin = (window.start - window.first) * multiplier
    end = changed if window.end == frames else (window.end - window.first) * multiplier
    if end > changed:
        raise ValueError("the frames after its last one are missing: set the context of Clip Frames to 1")
    return slice(begin, end)
