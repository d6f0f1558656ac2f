"""The face of the speaker as a figure: whether there is one, how large it is and how steady."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .figures import Face, Span

_LOST_SECONDS = 0.25
_FEWEST = 4
"""Frames with a face that show whether it is steady."""

Place = tuple[float, float, float]
"""Of a face: its centre and its height, in parts of the frame's height."""


def face_of(times: Sequence[float], places: Sequence[Place | None], end: float) -> Face:
    """What is known of a face.

    Args:
        times: of the frames, in seconds.
        places: of the face in each; None without one.
        end: of the clip, in seconds.
    """
    found = [place for place in places if place is not None]
    return Face(
        present=round(len(found) / max(1, len(places)), 4),
        height=round(float(np.median([height for *_, height in found])), 4) if found else None,
        jitter=_jitter(places),
        lost=_lost(times, places, end),
    )


def _jitter(places: Sequence[Place | None]) -> float | None:
    """The median distance of a face's centre from the middle between where it was before and is after."""
    distances = [
        np.hypot(b[0] - (a[0] + c[0]) / 2, b[1] - (a[1] + c[1]) / 2) / b[2]
        for a, b, c in zip(places, places[1:], places[2:], strict=False)
        if a and b and c
    ]
    return round(float(np.median(distances)), 5) if len(distances) >= _FEWEST else None


def _lost(times: Sequence[float], places: Sequence[Place | None], end: float) -> list[Span]:
    spans, start = [], None
    for at, place in zip([*times, end], [*places, (0.0, 0.0, 0.0)], strict=True):
        if place is None:
            start = at if start is None else start
        elif start is not None:
            if at - start >= _LOST_SECONDS:
                spans.append(Span(start=round(start, 3), end=round(at, 3)))
            start = None
    return spans
