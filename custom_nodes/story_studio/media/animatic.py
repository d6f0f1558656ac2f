"""Slow camera moves over a still, for a film that can be watched before any clip is rendered."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from .cards.lettering import draft_mark, mark_corner

CARD_REACH = 0.03
_OVERSAMPLED = 1.1


class _View(NamedTuple):
    """A part of the picture: its size and the room left of and above it, as shares of 1."""

    size: float
    left: float
    top: float

    def towards(self, other: _View, share: float) -> _View:
        # Between two rectangles inside the picture every mixture is inside it too.
        return _View(*(here + (there - here) * share for here, there in zip(self, other, strict=True)))

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in a picture of that size."""
        right, bottom = min(1.0, self.left + self.size), min(1.0, self.top + self.size)
        return self.left * width, self.top * height, right * width, bottom * height


def slow_move(
    picture: np.ndarray, width: int, height: int, frames: int, seed: int = 0, reach: float | None = None
) -> Iterator[np.ndarray]:
    """Yield `frames` pictures, uint8 [height, width, 3], of a camera moving slowly over `picture`.

    `picture` is uint8 [H, W, 3] of any size and is cropped at its centre to the new shape. `seed` chooses
    between pushing in, pulling out and drifting, and where to. `reach` is the share of the picture, 0 to 0.5,
    that is out of sight when the camera is nearest; by default a longer move goes farther, but never far. A
    title card keeps all its text in sight up to `CARD_REACH`.
    """
    reach = min(0.16, 0.035 + 0.0008 * frames) if reach is None else reach
    start, end = _move(reach, np.random.default_rng(seed))
    source = _cropped(picture, width, height, _OVERSAMPLED / (1 - reach))
    for number in range(frames):
        view = start.towards(end, _eased(number / max(1, frames - 1)))
        box = view.box(source.width, source.height)
        yield np.array(source.resize((width, height), Image.Resampling.BICUBIC, box))


def _move(reach: float, rng: np.random.Generator) -> tuple[_View, _View]:
    whole, size = _View(1, 0, 0), 1 - reach
    across, down = rng.uniform(0.2, 0.8, 2) * reach
    kind = int(rng.integers(4))
    if kind < 2:
        near = _View(size, float(across), float(down))
        return (whole, near) if kind == 0 else (near, whole)
    left, right = _View(size, 0.06 * reach, float(down)), _View(size, 0.94 * reach, float(reach - down))
    return (left, right) if kind == 2 else (right, left)


def _eased(share: float) -> float:
    """Gently away from and into rest, but never still: half even motion, half smooth."""
    return 0.5 * share + 0.5 * share * share * (3 - 2 * share)


def _cropped(picture: np.ndarray, width: int, height: int, scale: float) -> Image.Image:
    """The centre of the picture in the shape of the frames, finer than they are."""
    image = Image.fromarray(picture)
    scaled = min(image.width / width, image.height / height)
    left, top = max(0.0, image.width - width * scaled) / 2, max(0.0, image.height - height * scaled) / 2
    # Mirrored rather than added up, and never negative: Pillow refuses a box that rounding puts outside.
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
