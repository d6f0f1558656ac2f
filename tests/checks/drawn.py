"""A drawn face that the real models find."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

_WALL = (90, 110, 120)
_HAIR, _SKIN, _SHADE, _LIP, _INSIDE = (
    (60, 40, 30),
    (222, 180, 150),
    (205, 160, 130),
    (180, 80, 80),
    (60, 20, 25),
)
_SCALE = 2


def draw_face(
    width: int = 192,
    height: int = 128,
    *,
    at: tuple[float, float] = (0.5, 0.5),
    size: float = 40,
    opening: float = 0.2,
    roll: float = 0.0,
) -> NDArray[np.uint8]:
    """uint8 [height, width, 3] with one face.

    Args:
        at: its middle in parts of the frame.
        size: half its height in pixels.
        opening: of the mouth, as a share of `size`.
        roll: by how much it is turned clockwise, in radians.
    """
    image = Image.new("RGB", (width * _SCALE, height * _SCALE), _WALL)
    draw = ImageDraw.Draw(image)
    middle = (at[0] * width * _SCALE, at[1] * height * _SCALE)

    def oval(x: float, y: float, across: float, down: float, color: tuple[int, int, int]) -> None:
        corners = (x - across, y - down, x + across, y + down)
        draw.ellipse([middle[i % 2] + value * size * _SCALE for i, value in enumerate(corners)], color)

    oval(0, -0.15, 0.85, 1.15, _HAIR)
    oval(0, 0.05, 0.72, 1.0, _SKIN)
    for side in (-0.32, 0.32):
        oval(side, -0.28, 0.17, 0.03, _HAIR)
        oval(side, -0.12, 0.15, 0.075, (245, 245, 245))
        oval(side, -0.12, 0.07, 0.07, _HAIR)
        oval(side / 4, 0.25, 0.05, 0.04, _SHADE)
    oval(0, 0.12, 0.06, 0.16, _SHADE)
    oval(0, 0.55, 0.27, opening / 2 + 0.1, _LIP)
    oval(0, 0.55, 0.22, opening / 2 + 0.005, _INSIDE)
    turned = image.rotate(-math.degrees(roll), Image.Resampling.BICUBIC, center=middle, fillcolor=_WALL)
    smooth = turned.filter(ImageFilter.GaussianBlur(_SCALE))
    return np.asarray(smooth.resize((width, height), Image.Resampling.LANCZOS))
