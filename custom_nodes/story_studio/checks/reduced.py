"""A frame and the small copies of it that are measured, made once for all measures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

_GREY_SIDE = 208
"""The longer side of the grey copy at most: a pixel of it averages out the noise of a codec."""
_COLOR_SIDE = 104


@dataclass(frozen=True, eq=False)
class Reduced:
    """A frame.

    Attributes:
        at: when it is shown, in seconds.
        rgb: uint8 [height, width, 3].
    """

    at: float
    rgb: np.ndarray

    @cached_property
    def image(self) -> Image.Image:
        """The frame at its own size."""
        return Image.fromarray(self.rgb)

    @cached_property
    def _luma_image(self) -> Image.Image:
        return self.image.convert("L")

    @property
    def luma(self) -> np.ndarray:
        """Its brightness at its own size, uint8 [height, width]."""
        return np.asarray(self._luma_image)

    @cached_property
    def grey(self) -> np.ndarray:
        """Its brightness in means of blocks, 0 to 255, int16 [rows, columns]."""
        return np.asarray(_reduced(self._luma_image, _GREY_SIDE)).astype(np.int16)

    @cached_property
    def colors(self) -> np.ndarray:
        """Its colours in means of blocks, uint8 [rows, columns, 3]."""
        return np.asarray(_reduced(self.image, _COLOR_SIDE))


def _reduced(image: Image.Image, side: int) -> Image.Image:
    return image.reduce(-(-max(image.size) // side))
