"""Contact sheets: all stills of a story on one page, with their names and prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from PIL import Image

from .lettering import LEADING, fitted

_LONGEST_SIDE = 4000
# Colours, and `paste`, are also those of the sheets of checks.
GROUND, PANEL = (24, 24, 26), (33, 33, 36)
BRIGHT, SOFT, ACCENT = (240, 238, 233), (158, 156, 152), (222, 178, 116)


class _Grid(NamedTuple):
    """The layout of a sheet; everything except `columns` and `rows` is in pixels."""

    columns: int
    rows: int
    thumb_width: int
    thumb_height: int
    gap: int
    caption: int
    margin: int
    header: int

    @property
    def width(self) -> int:
        return 2 * self.margin + self.columns * (self.thumb_width + self.gap) - self.gap

    @property
    def height(self) -> int:
        rows = self.rows * (self.thumb_height + self.caption + self.gap) - self.gap
        return 2 * self.margin + self.header + rows


def compose(stills: Sequence[tuple[Image.Image, str, str]], title: str = "") -> Image.Image:
    """Arranges stills, each `(image, name, prompt)`, on one RGB sheet of at most 4000 pixels a side.

    Suited to about 200 stills. They keep their aspect ratio; below each are its number, its name and two
    lines of its prompt. Raises ValueError if there are no stills.
    """
    if not stills:
        raise ValueError("A contact sheet needs at least one still: add a scene.")
    grid = _grid(len(stills), _shape(stills), bool(title))
    sheet = Image.new("RGB", (grid.width, grid.height), GROUND)
    if title:
        _draw_header(sheet, grid, title, len(stills))
    for index, (image, name, prompt) in enumerate(stills):
        row, column = divmod(index, grid.columns)
        x = grid.margin + column * (grid.thumb_width + grid.gap)
        y = grid.margin + grid.header + row * (grid.thumb_height + grid.caption + grid.gap)
        paste(sheet, image, x, y, grid.thumb_width, grid.thumb_height)
        _draw_caption(sheet, x, y + grid.thumb_height, f"{index + 1}", name, prompt, grid)
    return sheet


def _shape(stills: Sequence[tuple[Image.Image, str, str]]) -> float:
    """The aspect ratio of the cells, width by height."""
    return min(2.4, max(0.5, median(image.width / image.height for image, _, _ in stills)))


def _grid(count: int, shape: float, titled: bool) -> _Grid:
    candidates = [_scaled(count, columns, shape, titled) for columns in range(1, count + 1)]
    return min(candidates, key=lambda grid: _penalty(grid, count))


def _penalty(grid: _Grid, count: int) -> float:
    """How far a layout is from a sheet of about 3:2 without empty cells."""
    empty = (grid.columns * grid.rows - count) / count
    return abs(math.log(grid.width / grid.height / 1.45)) + 0.8 * empty


def _scaled(count: int, columns: int, shape: float, titled: bool) -> _Grid:
    rows = math.ceil(count / columns)
    thumb = 560
    while True:
        grid = _sized(columns, rows, thumb, shape, titled)
        if max(grid.width, grid.height) <= _LONGEST_SIDE or thumb <= 16:
            return grid
        thumb = math.floor(thumb * 0.97)


def _sized(columns: int, rows: int, thumb: int, shape: float, titled: bool) -> _Grid:
    # Narrower cells for portrait stills, so that the area of a still is about the same for all shapes.
    width = round(thumb * min(1.0, math.sqrt(shape / 1.2)))
    gap = max(6, round(width * 0.075))
    text = _text_size(width)
    return _Grid(
        columns=columns,
        rows=rows,
        thumb_width=width,
        thumb_height=round(width / shape),
        gap=gap,
        caption=round(text * LEADING * 3.5),
        margin=2 * gap,
        header=round(text * 4.2) if titled else 0,
    )


def _text_size(thumb_width: int) -> float:
    return max(7.0, 0.038 * thumb_width)


def paste(sheet: Image.Image, image: Image.Image, x: int, y: int, width: int, height: int) -> None:
    """Puts an image into the middle of a cell of `width` x `height` pixels at (x, y), as large as it fits."""
    scale = min(width / image.width, height / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    thumb = image.convert("RGB").resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    free = width - thumb.width, height - thumb.height
    if max(free) > 1:
        sheet.paste(PANEL, (x, y, x + width, y + height))
    sheet.paste(thumb, (x + free[0] // 2, y + free[1] // 2))


def _draw_caption(
    sheet: Image.Image, x: int, y: int, number: str, name: str, prompt: str, grid: _Grid
) -> None:
    size = _text_size(grid.thumb_width)
    line = size * LEADING
    y += round(0.35 * size)
    mark = fitted(number, grid.thumb_width, line, size, size)
    mark.draw(sheet, x, y, ACCENT)
    indent = mark.width + 0.6 * size
    room = grid.thumb_width - indent
    fitted(name, room, line, size, size).draw(sheet, x + indent, y, BRIGHT, room)
    small = 0.86 * size
    block = fitted(prompt, grid.thumb_width, 2 * small * LEADING, small, small)
    block.draw(sheet, x, y + line, SOFT, grid.thumb_width)


def _draw_header(sheet: Image.Image, grid: _Grid, title: str, count: int) -> None:
    size = _text_size(grid.thumb_width)
    tally = fitted(f"{count} {'scene' if count == 1 else 'scenes'}", grid.thumb_width, 2 * size, size, size)
    room = grid.width - 2 * grid.margin - tally.width - 2 * size
    block = fitted(title, max(size, room), 3 * size, 2.1 * size, size)
    block.draw(sheet, grid.margin, grid.margin - 0.5 * size, BRIGHT)
    if room > block.width:
        tally.draw(sheet, grid.width - grid.margin - tally.width, grid.margin + 0.65 * size, SOFT)
