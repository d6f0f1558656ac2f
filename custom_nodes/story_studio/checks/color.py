"""How far the colours of a clip drift from those of its first second.

What moves is left out, so motion is no drift; where the camera moves so much that little stays in place,
nothing is measured. See `signal.color_transfer`.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ..signal.color_transfer import delta_e, transfer_of
from .figures import Color
from .reduced import Reduced

_BLOCK_SECONDS = 0.5
_FRAMES = 8
"""Frames of a part that are looked at, at most."""


class ColorDrift:
    """Compares each half second with the first second, in memory that hardly grows with the clip."""

    def __init__(self) -> None:
        self._reference: np.ndarray | None = None
        self._drifts: list[tuple[float, float]] = []
        self._kept: list[np.ndarray] = []
        self._since = 0.0

    def add(self, frame: Reduced) -> None:
        """Adds the next frame."""
        if frame.at - self._since >= (1.0 if self._reference is None else _BLOCK_SECONDS):
            self._close()
            self._since = frame.at
        self._kept.append(frame.colors)

    def result(self) -> Color:
        """The largest drift of a second."""
        if len(self._kept) > 1:
            self._close()
        seconds = [((a[1] + b[1]) / 2, b[0]) for a, b in pairwise(self._drifts)]
        drift, at = max(seconds, default=(0.0, None))
        return Color(drift=round(drift, 2), at=at)

    def _close(self) -> None:
        every = -(-len(self._kept) // _FRAMES)
        pixels = np.median(self._kept[::every], axis=0).reshape(-1, 3).astype(np.float32) / 255
        self._kept = []
        if self._reference is None:
            self._reference = pixels
        else:
            change = transfer_of(pixels, self._reference)
            self._drifts.append((round(self._since, 3), delta_e(self._reference, change)))
