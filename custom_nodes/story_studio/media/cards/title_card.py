"""Title cards, the stills of a draft: the prompt of a scene on a painted landscape."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .landscape import PALETTES, Sun, landscape
from .lettering import MARGIN, Block, draft_mark, fitted, mark_corner

_INK = (248, 243, 234)
_RULE = 0.055
"""Length of the line below the heading, as a fraction of the card's size."""


class _Box(NamedTuple):
    left: float
    top: float
    width: float
    height: float


def paint(
    text: str, width: int, height: int, heading: str = "", seed: int = 0, mark: bool = True
) -> Image.Image:
    """Paints a title card; equal arguments give the same image.

    Args:
        text: set as large as it fits; too long even for the smallest legible size, it ends in an ellipsis.
        width, height: size of the card in pixels, 64 to 2048 each.
        heading: set above the text in small capitals.
        seed: chooses colours and landscape.
        mark: whether the lower right corner has the word DRAFT.

    Returns:
        an RGB image.
    """
    content = f"{seed}\n{text}".encode(errors="surrogatepass")
    rng = np.random.default_rng(list(hashlib.sha256(content).digest()))
    palette = PALETTES[rng.integers(len(PALETTES))]
    unit = math.sqrt(width * height)
    margin = MARGIN * min(width, height)
    accent = tuple(round(float(part) * 255) for part in palette.light)

    title = fitted(heading.upper(), 0.8 * (width - 2 * margin), 0.036 * unit, 0.024 * unit, 0.012 * unit)
    title = replace(title, tracking=0.14)
    above = title.size * 2.6 if title.lines else 0.0
    label = draft_mark(unit)
    block = _body(text, width, height, margin, above, label.height + 0.5 * margin if mark else 0.0)
    top = max(margin, 0.40 * height - (above + block.height) / 2)
    box = _Box(margin, top, max(block.width, title.width), above + block.height)
    ground = landscape(width, height, palette, _sun(width, height, box, rng), rng)
    image = _darkened(ground, box)
    title.draw(image, margin, top, accent, box.width)
    if title.lines:
        indent = box.width - _RULE * unit if title.right_to_left else 0
        _rule(ImageDraw.Draw(image), margin + indent, top + 1.62 * title.size, unit, accent)
    block.draw(image, margin, top + above, _INK, box.width)
    if mark:
        image.paste(label, mark_corner(width, height, label), label)
    return image


def _body(text: str, width: int, height: int, margin: float, above: float, below: float) -> Block:
    """The text in large type beside the sun, or smaller across the whole card."""
    unit = math.sqrt(width * height)
    whole = width - 2 * margin
    beside = fitted(text, min(whole, 0.60 * unit), 0.48 * height - above, 0.072 * unit, 0.038 * unit)
    if not beside.cut:
        return beside
    room = height - 2 * margin - above - below
    return fitted(text, whole, room, 0.038 * unit, max(6.5, 0.0165 * unit))


def _sun(width: int, height: int, text: _Box, rng: np.random.Generator) -> Sun:
    """Beside the text if there is room, else above it, else only a glow: text needs a dark background."""
    x, y = float(rng.uniform(0.64, 0.84)) * width, float(rng.uniform(0.24, 0.44)) * height
    radius = float(rng.uniform(0.034, 0.064)) * math.sqrt(width * height)
    room = 1.8 * radius
    right = text.left + text.width
    if width - right > 2 * room:
        return Sun(max(x, right + room), y, radius)
    if text.top > 2 * room:
        return Sun(x, text.top / 2, radius)
    return Sun(x, 0.1 * height, 0)


def _darkened(ground: np.ndarray, text: _Box) -> Image.Image:
    """Darkens the background behind the text with soft edges, more for more text."""
    height, width, _ = ground.shape
    small = Image.new("L", (max(1, width // 8), max(1, height // 8)))
    box = (0, text.top, text.left + text.width, text.top + text.height)
    ImageDraw.Draw(small).rectangle([side / 8 for side in box], fill=255)
    soft = small.filter(ImageFilter.GaussianBlur(0.05 * math.hypot(*small.size))).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    share = text.width * text.height / (width * height)
    dark = 1 - (0.22 + 0.40 * share) * np.asarray(soft, np.float32)[..., None] / 255
    return Image.fromarray((ground * dark * 255).round().astype(np.uint8))


def _rule(draw: ImageDraw.ImageDraw, x: float, y: float, unit: float, colour: tuple[int, ...]) -> None:
    # In whole pixels, because for fractions y + 1 - 1 can round to less than y, which Pillow rejects.
    left, top = round(x), round(y)
    width, height = max(1, round(_RULE * unit)), max(1, round(0.0022 * unit))
    draw.rectangle([left, top, left + width - 1, top + height - 1], fill=colour)
