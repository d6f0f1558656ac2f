"""A part of a clip, exact to a frame, at a steady frame rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from .clip_frames import frame_count, upright_graph
from .decoder import exact_frames
from .encoder import SAMPLE_RATE
from .footage import Footage


@dataclass(frozen=True)
class Excerpt:
    """Which frames of a clip are shown.

    Attributes:
        fps: frames a second, at which the clip's frames are counted.
        first: the first frame.
        frames: how many, within the clip.
    """

    fps: Fraction
    first: int
    frames: int

    @property
    def first_sample(self) -> int:
        """The sample of the clip's audio, at 48 kHz, that is heard when the first frame is shown."""
        return round(self.first * SAMPLE_RATE / self.fps)


def excerpt_of(footage: Footage, start: float = 0.0, end: float = 0.0) -> tuple[Excerpt, str]:
    """The frames of a clip between two times in seconds; an `end` of 0 is the clip's own.

    Returns:
        The excerpt, one frame at least, and a warning; empty if there is nothing to say.

    Raises:
        ValueError: the times are not in this order, or the clip is over before `start`.
    """
    fps = footage.steady_fps
    total = frame_count(footage, fps)
    seconds = float(total / fps)
    # As decimals, which people write: 0.7 is a little less in binary.
    first, last = (round(Fraction(time).limit_denominator(10**6) * fps) for time in (start, end))
    if start < 0 or end < 0 or (end and last <= first):
        raise ValueError(
            f"start is {start:g} s and end is {end:g} s: end has to be later by a frame or more, or 0 for "
            "the end of the video."
        )
    if first >= total:
        raise ValueError(
            f"start is {start:g} s, but the video lasts only {seconds:.2f} s: choose an earlier start."
        )
    warning = ""
    if last > total:
        warning = f"end is {end:g} s, but the video lasts only {seconds:.2f} s: it is shown to its end."
    return Excerpt(fps, first, (min(last, total) if end else total) - first), warning


def excerpt_frames(path: Path, footage: Footage, excerpt: Excerpt, count: int) -> Iterator[av.VideoFrame]:
    """Exactly `count` frames from the excerpt's first one on, upright, yuv420p BT.709.

    The last frame of the excerpt is held. The file is decoded from a keyframe before the first frame.

    Raises:
        ValueError: no frame can be decoded.
    """
    start = excerpt.first / excerpt.fps
    shown = min(count, excerpt.frames)
    frames = exact_frames(
        path, lambda stream: upright_graph(stream, footage, excerpt.fps, start), shown, start
    )
    frame = None
    for frame in frames:
        yield frame
    assert frame is not None
    for _ in range(count - shown):
        yield frame
