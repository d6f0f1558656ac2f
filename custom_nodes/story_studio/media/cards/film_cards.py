"""The opening title and the end credits of a film, on its own first and last scene out of focus."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from ..text import is_visible
from .lettering import LEADING, MARGIN, Block, fitted

_INK, _QUIET = (250, 247, 240), (205, 200, 192)
_RULE = 0.07
"""Length of the line below the title, as a fraction of the card's size."""
_ROLE_SIZE = 0.62
"""Size of what stands before the colon of a credit, in sizes of what stands after it."""


@dataclass(frozen=True)
class Cards:
    """What a film begins and ends with.

    Attributes:
        opening: the title on a card at the start; empty for none.
        credits: the lines on a card at the end; empty for none. In `Voice: Ann Lee`, what is before the colon
            stands small above the rest.
        card_seconds: duration of a card.
        fade_seconds: duration of the fade from black at the start, and to black at the end.
    """

    opening: str = ""
    credits: str = ""
    card_seconds: float = 3.0
    fade_seconds: float = 0.0

    @property
    def shows_any(self) -> bool:
        """Whether there is a card."""
        return is_visible(self.opening) or is_visible(self.credits)

    def parts(self) -> list[str | float]:
        """What the key of a film holds of it; empty if it changes nothing."""
        if not self.shows_any and not self.fade_seconds:
            return []
        return [self.opening, self.credits, self.card_seconds if self.shows_any else 0, self.fade_seconds]


NO_CARDS = Cards()
"""Neither cards nor fades."""


def paint_opening(title: str, size: tuple[int, int], scene: Image.Image) -> Image.Image:
    """The title over a scene; RGB, of `size` pixels, width and height."""
    width, height = size
    unit, room = math.sqrt(width * height), min(width, height) * (1 - 2 * MARGIN)
    image = _out_of_focus(scene, size)
    wide = min(width * (1 - 2 * MARGIN), 1.1 * unit)
    block = fitted(title, wide, 0.5 * room, 0.105 * unit, max(6.5, 0.03 * unit))
    rule = 0.9 * block.size
    top = (height - block.height - rule) / 2
    _draw_centred(image, block, top, _INK)
    _draw_rule(image, top + block.height + 0.62 * rule, unit)
    return image


def paint_credits(lines: str, size: tuple[int, int], scene: Image.Image) -> Image.Image:
    """The credits over a scene; RGB, of `size` pixels, width and height."""
    width, height = size
    unit = math.sqrt(width * height)
    room = width * (1 - 2 * MARGIN), height * (1 - 2 * MARGIN)
    image = _out_of_focus(scene, size)
    smallest, text_size = max(6.5, 0.016 * unit), 0.05 * unit
    credits = _set(lines, room[0], text_size)
    while (tall := _height(credits)) > room[1] and text_size > smallest:
        text_size = max(smallest, 0.95 * text_size)
        credits = _set(lines, room[0], text_size)
    top = max(MARGIN * height, (height - tall) / 2)
    for block, colour, gap in credits:
        top += gap
        if top + block.height > height - MARGIN * height / 2:
            break
        _draw_centred(image, block, top, colour)
        top += block.height
    return image


_Line = tuple[Block, tuple[int, int, int], float]
"""Lettering, its colour, and the space above it in pixels."""


def _set(lines: str, width: float, size: float) -> list[_Line]:
    """The lines at a size in pixels; an empty one becomes space."""
    done: list[_Line] = []
    space = 0.0
    for line in lines.splitlines():
        if not is_visible(line):
            space = 0.8 * size
            continue
        role, colon, name = line.partition(": ")
        if colon and is_visible(role) and is_visible(name):
            small = _ROLE_SIZE * size
            tracked = replace(_line(role.strip().upper(), 0.8 * width, small), tracking=0.12)
            done.append((tracked, _QUIET, space or (0.5 * size if done else 0.0)))
            done.append((_line(name, width, size), _INK, 0.0))
        else:
            done.append((_line(line, width, size), _INK, space))
        space = 0.0
    return done


def _line(text: str, width: float, size: float) -> Block:
    return fitted(text.strip(), width, 3 * size * LEADING, size, 0.99 * size)


def _height(credits: list[_Line]) -> float:
    return sum(block.height + gap for block, _, gap in credits)


def _draw_centred(image: Image.Image, block: Block, top: float, colour: tuple[int, int, int]) -> None:
    for number, line in enumerate(block.lines):
        alone = replace(block, lines=(line,))
        alone.draw(image, (image.width - alone.width) / 2, top + number * alone.height, colour)


def _draw_rule(image: Image.Image, y: float, unit: float) -> None:
    width, height = max(1, round(_RULE * unit)), max(1, round(0.003 * unit))
    left, top = round((image.width - width) / 2), round(y)
    ImageDraw.Draw(image).rectangle([left, top, left + width - 1, top + height - 1], fill=_QUIET)


def _out_of_focus(scene: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A scene that fills the card, blurred and dark enough for light letters, more so at the edges."""
    width, height = size
    small = max(2, width // 6), max(2, height // 6)
    filled = ImageOps.fit(scene, small, Image.Resampling.BOX)
    soft = filled.filter(ImageFilter.GaussianBlur(0.03 * math.sqrt(small[0] * small[1])))
    pixels = np.asarray(soft.resize(size, Image.Resampling.BICUBIC), np.float32) / 255
    # Bright scenes are darkened more: the letters need the same contrast everywhere.
    light = float(pixels.mean())
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None]
    shade = min(0.62, 0.2 / max(light, 0.05)) * (1 - 0.32 * (across**2 + down**2) / 2)
    grain = np.random.default_rng(1).normal(0, 0.006, (height, width, 1)).astype(np.float32)
    return Image.fromarray(((pixels * shade + grain).clip(0, 1) * 255).round().astype(np.uint8))
