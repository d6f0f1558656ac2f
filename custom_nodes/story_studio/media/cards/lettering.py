"""Text in images: fonts with the required glyphs, line breaking and fitting, and the DRAFT mark."""

from __future__ import annotations

import math
import shutil
import subprocess
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from .linebreak import parts

LEADING = 1.38
"""Line spacing, in font sizes."""

MARGIN = 0.085
"""Margin of an image with text, as a fraction of its shorter side."""

# Pillow's built-in font has little more than ASCII. For other text, these are tried in order.
_SYSTEM_FONTS = (
    ("/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf", 0),
    ("/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf", 0),
    ("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", 0),
    ("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", 2),
    ("/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc", 2),
    ("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc", 0),
    ("/System/Library/Fonts/PingFang.ttc", 2),
    ("/System/Library/Fonts/Supplemental/Arial Unicode.ttf", 0),
    ("C:/Windows/Fonts/segoeui.ttf", 0),
    ("C:/Windows/Fonts/msyh.ttc", 0),
)
_PLAIN = str.maketrans(
    {"–": "-", "—": "-", "‑": "-", "−": "-", "•": "·", "\u00a0": " ", "×": "x", "‹": "<", "›": ">"}
)
_ELLIPSIS = "..."
_MEASURE = 100
_NARROW = 5  # letters in one font size


@dataclass(frozen=True)
class Face:
    """A font at any size; an empty `file` means Pillow's built-in font."""

    file: str = ""
    index: int = 0

    def at(self, size: float) -> ImageFont.FreeTypeFont:
        """The font at `size` pixels."""
        return _opened(self.file, self.index, max(1.0, round(size * 4) / 4))

    def lacks(self, letters: frozenset[str]) -> frozenset[str]:
        """Those of `letters` that the font has no glyph for."""
        return frozenset(letter for letter in letters if _drawn(self, letter) == _drawn(self, "\U0010fffe"))


@lru_cache(maxsize=2048)
def _drawn(face: Face, letter: str) -> bytes:
    mask = Image.new("L", (32, 32))
    ImageDraw.Draw(mask).text((8, 24), letter, font=face.at(16), fill=255, anchor="ls")
    return mask.tobytes()


@lru_cache(maxsize=8192)
def _width(face: Face, text: str) -> float:
    """In font sizes."""
    return face.at(_MEASURE).getlength(text) / _MEASURE


@lru_cache(maxsize=64)
def _opened(file: str, index: int, size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.truetype(file, size, index) if file else ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType."
    return font


@dataclass(frozen=True)
class Block:
    """Lines of text at `size` pixels, with `tracking` font sizes between letters; `cut` if truncated."""

    lines: tuple[str, ...]
    face: Face
    size: float
    cut: bool = False
    tracking: float = 0.0

    @property
    def height(self) -> float:
        """Height of all lines in pixels."""
        return len(self.lines) * self.size * LEADING

    @property
    def width(self) -> float:
        """Width of the longest line in pixels."""
        return max(map(self._line_width, self.lines), default=0.0)

    def _line_width(self, line: str) -> float:
        return self.size * (_width(self.face, line) + self.tracking * max(0, len(line) - 1))

    def draw(self, image: Image.Image, x: float, y: float, fill: tuple[int, ...]) -> None:
        """Draws into an RGB or RGBA image with the upper left corner at (x, y) pixels."""
        for number, line in enumerate(self.lines):
            self._draw_line(image, line, x, y + number * self.size * LEADING, fill)

    def _draw_line(self, image: Image.Image, line: str, x: float, y: float, fill: tuple[int, ...]) -> None:
        # Drawn at the measured size and scaled down, because small fonts snap letters to whole pixels.
        finer = max(1, min(16, math.ceil(_MEASURE / self.size)))
        left, top = math.floor(x), math.floor(y)
        margin = math.ceil(self.size)
        size = math.ceil(self._line_width(line)) + 2 * margin, math.ceil(self.size * LEADING) + 2
        mask = Image.new("L", (size[0] * finer, size[1] * finer))
        pen = (x - left + margin) * finer
        baseline = (y - top + 0.5 * LEADING * self.size + 0.35 * self.size) * finer
        draw, font = ImageDraw.Draw(mask), self.face.at(self.size * finer)
        for run in line if self.tracking else [line]:
            draw.text((pen, baseline), run, font=font, fill=255, anchor="ls")
            pen += font.getlength(run) + self.tracking * self.size * finer
        mask = mask.reduce(finer)
        image.paste(fill, (left - margin, top), mask)


def prepared(text: str) -> tuple[str, Face]:
    """The text as it can be drawn, and the font for it.

    If no font of this machine has all letters, missing ones lose their accents or, at worst, become boxes.
    """
    text = unicodedata.normalize("NFC", "".join(c for c in text if c.isprintable() or c.isspace()))
    letters = frozenset(letter for letter in text if not letter.isspace())
    face = _face(letters)
    missing = face.lacks(letters)
    return "".join(_plain(c, face) if c in missing else c for c in text), face


def _plain(letter: str, face: Face) -> str:
    simple = "".join(c for c in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(c))
    simple = simple.translate(_PLAIN)
    return letter if face.lacks(frozenset(simple) - {" "}) else simple


@lru_cache(maxsize=256)
def _face(letters: frozenset[str]) -> Face:
    best, missing = Face(), Face().lacks(letters)
    if not missing:
        return best
    for candidate in (*(Face(*font) for font in _SYSTEM_FONTS), *_fontconfig_faces(letters, missing)):
        try:
            lacking = candidate.lacks(letters)
        except OSError:
            continue
        if len(lacking) < len(missing):
            best, missing = candidate, lacking
        if not missing:
            break
    return best


def _fontconfig_faces(letters: frozenset[str], missing: frozenset[str]) -> list[Face]:
    """The font that fontconfig, if installed, suggests for the missing letters."""
    if not shutil.which("fc-match"):
        return []
    language = "ja" if any("\u3040" <= c <= "\u30ff" for c in letters) else "zh-cn"
    pattern = f":lang={language}:charset={' '.join(f'{ord(c):x}' for c in sorted(missing)[:200])}"
    try:
        done = subprocess.run(
            ["fc-match", "-f", "%{file}\n%{index}", pattern], capture_output=True, timeout=10
        )
        file, index = done.stdout.decode().split("\n")
        return [Face(file, int(index))] if Path(file).is_file() else []
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return []


def fitted(text: str, width: float, height: float, largest: float, smallest: float) -> Block:
    """Sets `text` as large as it fits into `width` x `height` pixels, between two font sizes in pixels.

    Long words are broken. Text that is too long even at the smallest size ends in an ellipsis.
    """
    # Text that would not fit even in the narrowest letters need not be measured.
    most = (height / (smallest * LEADING) + 1) * (width / smallest + 1) * _NARROW
    text, face = prepared(text[: math.ceil(most)])
    pieces = _measured(text, face)
    size = largest
    while size > smallest:
        lines = _wrapped(pieces, width / size)
        broken = size > largest / 2 and any(wide > width / size for _, wide, _ in pieces)
        if len(lines) * size * LEADING <= height and not broken:
            break
        size = max(smallest, size * 0.96)
    lines = _wrapped(pieces, width / size)
    room = max(1, int(height / (size * LEADING) + 0.01))
    if len(lines) <= room:
        return Block(tuple(_balanced(pieces, lines, width / size)), face, size)
    return Block((*lines[: room - 1], _cut(lines[room - 1], face, width / size)), face, size, cut=True)


def draft_mark(unit: float) -> Image.Image:
    """The word DRAFT in a thin frame, RGBA; `unit` is the geometric mean of the image's sides in pixels."""
    size = max(6.5, 0.0165 * unit)
    word = Block(("DRAFT",), Face(), size, tracking=0.14)
    width, height = round(word.width + 1.24 * size), round(2 * size)
    mark = Image.new("RGBA", (width, height))
    frame = ImageDraw.Draw(mark)
    frame.rounded_rectangle([0, 0, width - 1, height - 1], height / 4, (0, 0, 0, 70), (255, 255, 255, 130))
    word.draw(mark, (width - word.width) / 2, (height - word.height) / 2, (255, 255, 255, 215))
    return mark


def mark_corner(width: int, height: int, mark: Image.Image) -> tuple[int, int]:
    """The upper left corner of the mark in the lower right of an image of `width` x `height` pixels."""
    margin = MARGIN * min(width, height)
    return max(0, round(width - margin - mark.width)), max(0, round(height - margin - mark.height))


_Piece = tuple[str, float, float]
"""A part of the text, and its width without and with trailing space, in font sizes."""


def _measured(text: str, face: Face) -> list[_Piece]:
    return [(part, 1.01 * _width(face, part.rstrip()), 1.01 * _width(face, part)) for part in parts(text)]


def _wrapped(pieces: Sequence[_Piece], width: float) -> list[str]:
    lines, line, used = [], "", 0.0
    for text, tight, wide in pieces:
        if used + tight > width and line:
            lines.append(line.rstrip())
            line, used = "", 0.0
        limit = 0.9 * width if tight > width else width
        while tight > limit and len(text) > 1:
            count = max(1, int(len(text) * limit / tight))
            lines.append(text[:count])
            tight, wide = tight * (1 - count / len(text)), wide * (1 - count / len(text))
            text = text[count:]
        line, used = line + text, used + wide
    return [*lines, line.rstrip()] if line else lines


def _balanced(pieces: Sequence[_Piece], lines: list[str], width: float) -> list[str]:
    """The same number of lines, of similar length, so that no line has a single word."""
    narrow, wide = 0.5 * width, width
    for _ in range(6):
        middle = (narrow + wide) / 2
        trial = _wrapped(pieces, middle)
        if len(trial) <= len(lines):
            lines, wide = trial, middle
        else:
            narrow = middle
    return lines


def _cut(line: str, face: Face, width: float) -> str:
    while line and 1.01 * _width(face, line + _ELLIPSIS) > width:
        line = line[:-1]
    return line.rstrip(" ,;:.-") + _ELLIPSIS
