"""Slow camera moves over a still, as a stand-in for clips that are not rendered yet."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from .cards.lettering import draft_mark, mark_corner

CARD_ZOOM = 0.03
"""The largest zoom that keeps all text of a title card visible."""
_OVERSAMPLING = 1.1
_PERIODS = np.array([23.0, 31.0, 41.0])
"""Seconds in which a drift swings in size, to the side, and up and down: primes, which rarely meet."""


class _View(NamedTuple):
    """A visible part of the image: its size, and its distance from the left and the top, as fractions."""

    size: float
    left: float
    top: float

    def interpolate(self, other: _View, fraction: float) -> _View:
        # Interpolating between two rectangles inside the image stays inside.
        return _View(*(start + (end - start) * fraction for start, end in zip(self, other, strict=True)))

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in pixels of an image of that size."""
        right, bottom = min(1.0, self.left + self.size), min(1.0, self.top + self.size)
        return self.left * width, self.top * height, right * width, bottom * height


def slow_move(
    image: np.ndarray, width: int, height: int, frames: int, seed: int = 0, zoom: float | None = None
) -> Iterator[np.ndarray]:
    """A camera moving slowly over an image.

    Args:
        image: uint8 [H, W, 3] of any size; its centre is cropped to the aspect ratio of the frames.
        width, height: size of the frames in pixels.
        frames: how many.
        seed: chooses between zooming in, zooming out and panning, and the direction.
        zoom: the fraction of the image, 0 to 0.5, that is cropped at the closest point; by default it grows
            with the length of the move, up to 0.16.

    Yields:
        uint8 [height, width, 3].
    """
    zoom = min(0.16, 0.035 + 0.0008 * frames) if zoom is None else zoom
    start, end = _move(zoom, np.random.default_rng(seed))
    source = _cropped(image, width, height, _OVERSAMPLING / (1 - zoom))
    for number in range(frames):
        view = start.interpolate(end, _eased(number / max(1, frames - 1)))
        box = view.box(source.width, source.height)
        yield np.array(source.resize((width, height), Image.Resampling.BICUBIC, box))


def drifting_move(
    image: np.ndarray, width: int, height: int, frames: int, fps: int, seed: int = 0, zoom: float = 0.16
) -> Iterator[np.ndarray]:
    """A camera that drifts over an image for as long as it takes, without a rest and without a turn.

    Its zoom and its place swing with periods of their own, so that a short clip shows one gentle move and a
    long one is never still, nor the same twice. The arguments are those of `slow_move`.

    Args:
        fps: frames a second.
        zoom: the fraction of the image, 0 to 0.5, that is cropped at the closest point.

    Yields:
        uint8 [height, width, 3].
    """
    source = _cropped(image, width, height, _OVERSAMPLING / (1 - zoom))
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, 3)
    for number in range(frames):
        angles = 2 * np.pi * number / fps / _PERIODS + phases
        size = 1 - zoom * (0.6 + 0.4 * math.sin(angles[0]))
        left, top = ((1 - size) * (0.5 + 0.45 * math.sin(angle)) for angle in angles[1:])
        box = _View(size, left, top).box(source.width, source.height)
        yield np.array(source.resize((width, height), Image.Resampling.BICUBIC, box))


def _move(zoom: float, rng: np.random.Generator) -> tuple[_View, _View]:
    whole, size = _View(1, 0, 0), 1 - zoom
    across, down = rng.uniform(0.2, 0.8, 2) * zoom
    kind = int(rng.integers(4))
    if kind < 2:
        near = _View(size, float(across), float(down))
        return (whole, near) if kind == 0 else (near, whole)
    left, right = _View(size, 0.06 * zoom, float(down)), _View(size, 0.94 * zoom, float(zoom - down))
    return (left, right) if kind == 2 else (right, left)


def _eased(time: float) -> float:
    """Half linear and half smoothstep: starts and ends gently, but never at rest."""
    return 0.5 * time + 0.5 * time * time * (3 - 2 * time)


def _cropped(pixels: np.ndarray, width: int, height: int, scale: float) -> Image.Image:
    """The centre of an image in the aspect ratio of the frames, at `scale` times their resolution."""
    image = Image.fromarray(pixels)
    scaled = min(image.width / width, image.height / height)
    left, top = max(0.0, image.width - width * scaled) / 2, max(0.0, image.height - height * scaled) / 2
    # Symmetric and clamped, because Pillow rejects a box that rounding moves outside the image.
    box = left, top, image.width - left, image.height - top
    size = math.ceil(width * scale), math.ceil(height * scale)
    return image.resize(size, Image.Resampling.LANCZOS, box)


def label_draft(frame: np.ndarray) -> np.ndarray:
    """A copy of `frame`, uint8 [H, W, 3], with a small DRAFT mark in its lower right corner."""
    height, width, _ = frame.shape
    x, y, colour, cover = _mark(width, height)
    labelled = frame.copy()
    part = labelled[y : y + cover.shape[0], x : x + cover.shape[1]]
    part[:] = (part * (1 - cover) + colour * cover + 0.5).astype(np.uint8)
    return labelled


@lru_cache(maxsize=4)
def _mark(width: int, height: int) -> tuple[int, int, np.ndarray, np.ndarray]:
    mark = draft_mark(math.sqrt(width * height))
    x, y = mark_corner(width, height, mark)
    pixels = np.asarray(mark, np.float32)
    return x, y, pixels[..., :3], pixels[..., 3:] / 255
