"""One frame of a clip, as it is shown."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.filter import Graph

from .clip_frames import rgb_pixels, upright_graph
from .decoder import filtered
from .excerpt import Excerpt, excerpt_frames, excerpt_of
from .footage import Footage

Position = Literal["first", "middle", "last"]
_TAIL = 2
"""Seconds at the end that are searched for the last frame first: some files are shorter than they state."""


def frame_at(path: Path, footage: Footage, position: Position) -> np.ndarray:
    """The first, middle or last frame of a clip, upright and with square pixels.

    Returns:
        uint8 [height, width, 3], RGB.

    Raises:
        ValueError: no frame can be decoded.
    """
    whole, _ = excerpt_of(footage)
    if position == "last":
        frame = _last(path, footage, whole)
    else:
        number = whole.frames // 2 if position == "middle" else 0
        frame = next(excerpt_frames(path, footage, Excerpt(whole.fps, number, 1), 1))
    return next(rgb_pixels([frame]))


def _last(path: Path, footage: Footage, whole: Excerpt) -> av.VideoFrame:
    def graph_of(stream: av.VideoStream) -> Graph:
        return upright_graph(stream, footage, None)

    for start in (max(Fraction(0), whole.frames / whole.fps - _TAIL), Fraction(0)):
        if frames := deque(filtered(path, graph_of, start), maxlen=1):
            return frames[0]
    raise ValueError(
        f"No frame of {path.name} can be decoded: the file is damaged, render or export it again."
    )
