"""Calm abstract landscapes as a background for text."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Palette:
    """RGB colours, 0 to 1; all but `light` are dark enough for light text."""

    sky: np.ndarray
    horizon: np.ndarray
    near: np.ndarray
    light: np.ndarray


def _palette(*colours: str) -> Palette:
    return Palette(*(np.array(list(bytes.fromhex(colour)), np.float32) / 255 for colour in colours))


PALETTES = (
    _palette("1b1d38", "8c566b", "12122a", "f3c69b"),
    _palette("0d2433", "3b7580", "071722", "d9ede0"),
    _palette("2b2233", "a5693f", "17111f", "f6d59a"),
    _palette("14261f", "648468", "09140f", "eef0d2"),
    _palette("1a2940", "71889f", "0c1624", "f2f3ee"),
    _palette("251a36", "7b5c8c", "120c1e", "f0d4dd"),
    _palette("20151a", "93503c", "120a0c", "f7c58c"),
    _palette("0f2340", "4578a0", "081426", "f3e6c4"),
    _palette("222420", "857a5a", "121310", "f5ebc8"),
    _palette("17222b", "6d6f86", "0c1218", "f0c9b8"),
)


@dataclass(frozen=True)
class Sun:
    """A sun or moon at (x, y) with a `radius`, all in pixels; at radius 0 only its glow is visible."""

    x: float
    y: float
    radius: float


def landscape(width: int, height: int, palette: Palette, sun: Sun, rng: np.random.Generator) -> np.ndarray:
    """Paints a landscape, float32 [height, width, 3], 0 to 1, determined by the state of `rng`."""
    scene = _Scene(width, height, palette, sun, rng)
    scene.glow()
    kind = int(rng.integers(3))
    if kind == 0:
        scene.hills(5, 0.60, reach=0.075, detail=0.36)
    elif kind == 1:
        scene.hills(5, 0.56, reach=0.11, detail=0.47, sharp=True)
    else:
        scene.hills(2, 0.64, reach=0.05, detail=0.42)
        scene.sea(0.69)
    return scene.finished()


class _Scene:
    """An image painted from back to front. Coordinates are fractions of its height."""

    def __init__(self, width: int, height: int, palette: Palette, sun: Sun, rng: np.random.Generator) -> None:
        self.palette, self.sun, self.rng = palette, sun, rng
        self.height, self.unit = height, math.sqrt(width * height)
        self.down = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
        self.along = ((np.arange(width, dtype=np.float32) + 0.5) / height)[None]
        dusk = (self.down / 0.72).clip(0, 1)[..., None] ** 1.4
        self.image = np.repeat(_mix(palette.sky, palette.horizon, dusk), width, axis=1)

    def cover(self, colour: np.ndarray, opacity: np.ndarray) -> None:
        self.image += (colour - self.image) * opacity[..., None]

    def below(self, line: np.ndarray | float) -> np.ndarray:
        """A mask: 1 below the line, 0 above it, antialiased."""
        return ((self.down - line) * self.height + 0.5).clip(0, 1)

    def glow(self) -> None:
        distance = np.hypot(self.along * self.height - self.sun.x, self.down * self.height - self.sun.y)
        spread = distance / self.unit
        halo = 0.30 * np.exp(-((spread / 0.25) ** 2)) + 0.18 * np.exp(-spread / 0.07)
        disc = (self.sun.radius - distance + 0.5).clip(0, 1) * 0.82
        self.cover(self.palette.light, np.maximum(halo, disc))

    def skyline(self, detail: float, sharp: bool) -> np.ndarray:
        """Heights for each column, roughly -1 to 1."""
        line = np.zeros_like(self.along)
        frequency, size = float(self.rng.uniform(0.35, 0.6)), 1.0
        for _ in range(8):
            wave = np.cos(2 * np.pi * (frequency * self.along + self.rng.uniform()))
            line += size * (1 - 2 * np.abs(wave) if sharp else wave)
            frequency, size = frequency * float(self.rng.uniform(1.8, 2.3)), size * detail
        return line * (1 - detail)

    def hills(self, count: int, top: float, *, reach: float, detail: float, sharp: bool = False) -> None:
        """`count` ridges of hills or mountains, hazier with distance."""
        for i in range(count):
            nearness = i / (count - 1)
            level = top + (0.9 - top) * nearness**1.1
            crest = reach * (1 - 0.45 * nearness) * self.skyline(detail, sharp and i < count - 1)
            line = level - crest
            ground = _mix(self.palette.horizon, self.palette.near, 0.28 + 0.72 * nearness)
            mist = ((self.down - line) / 0.22).clip(0, 1)[..., None] * 0.42 * (1 - nearness)
            self.cover(_mix(ground, self.palette.horizon, mist), self.below(line))

    def sea(self, shore: float) -> None:
        """Water with the glitter of the sun."""
        depth = ((self.down - shore) / (1 - shore)).clip(0, 1)
        far = _mix(self.palette.horizon, self.palette.near, 0.35)
        self.cover(_mix(far, self.palette.near, depth[..., None] ** 0.6), self.below(shore))
        rows = self.rng.uniform(0, 1, self.height).astype(np.float32)[:, None]
        spread = 0.03 + 0.30 * depth
        path = np.exp(-(((self.along - self.sun.x / self.height) / spread) ** 2))
        self.cover(self.palette.light, path * (rows > 0.5) * (1 - depth) * 0.4 * self.below(shore))

    def finished(self) -> np.ndarray:
        away = (self.along / self.along.max() - 0.5) ** 2 + (self.down - 0.5) ** 2
        self.image *= 1 - 0.5 * away[..., None]
        # The grain also hides banding in 8-bit gradients.
        grain = self.rng.normal(0, 0.009, (*self.image.shape[:2], 1)).astype(np.float32)
        return (self.image + grain).clip(0, 1)


def _mix(first: np.ndarray, second: np.ndarray, weight: np.ndarray | float) -> np.ndarray:
    return first + (second - first) * weight
