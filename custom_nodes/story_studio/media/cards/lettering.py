"""Text in images: fonts with the required glyphs, line breaking and fitting, and the DRAFT mark."""

from __future__ import annotations

import math
import shutil
import subprocess
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bidi import get_display
from PIL import Image, ImageDraw, ImageFont

from ..linebreak import BREAKS, clusters, parts, shown_line
from ..text import clean, closed, is_ignorable, is_right_to_left

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
_SPACED = ("LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "CJK", "HIRAGANA", "KATAKANA", "HANGUL")
"""Scripts, as the names of their letters start, whose letters stand alone, so there can be space between."""


@dataclass(frozen=True)
class Face:
    """A font at any size; an empty `file` means Pillow's built-in font."""

    file: str = ""
    index: int = 0

    def at(self, size: float) -> ImageFont.FreeTypeFont:
        """The font at `size` pixels."""
        return _opened(self.file, self.index, max(1.0, round(size * 4) / 4))

    @property
    def shapes(self) -> bool:
        """Whether letters are joined and right-to-left text is put in order.

        Pillow does so where FriBiDi is installed, but not for its own font, which has no such letters.
        Without it, lines are put in order, and Arabic letters stay unjoined.
        """
        return self.at(_MEASURE).layout_engine == ImageFont.Layout.RAQM

    def lacks(self, letters: frozenset[str]) -> frozenset[str]:
        """Those of `letters` that the font has no glyph for."""
        return frozenset(letter for letter in letters if _drawn(self, letter) == _drawn(self, "\U0010fffe"))


@lru_cache(maxsize=2048)
def _drawn(face: Face, letter: str) -> bytes:
    mask = Image.new("L", (32, 32))
    ImageDraw.Draw(mask).text((8, 24), letter, font=face.at(16), fill=255, anchor="ls")
    return mask.tobytes()


@lru_cache(maxsize=8192)
def advance(text: str, face: Face) -> float:
    """The width of a text in one font, in font sizes."""
    return face.at(_MEASURE).getlength(text) / _MEASURE


@lru_cache(maxsize=64)
def _opened(file: str, index: int, size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.truetype(file, size, index) if file else ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType."
    return font


@dataclass(frozen=True)
class Block:
    """Lines of text at `size` pixels.

    Attributes:
        cut: whether the text is truncated.
        tracking: space between letters, in font sizes, where the script allows it.
        right_to_left: whether the lines run, and are aligned, to the left.
    """

    lines: tuple[str, ...]
    face: Face
    size: float
    cut: bool = False
    tracking: float = 0.0
    right_to_left: bool = False

    @property
    def height(self) -> float:
        """Height of all lines in pixels."""
        return len(self.lines) * self.size * LEADING

    @property
    def width(self) -> float:
        """Width of the longest line in pixels."""
        return max(map(self._line_width, self.lines), default=0.0)

    def _line_width(self, line: str) -> float:
        letters = self._spaced_letters(line)
        return self.size * (advance(line, self.face) + self.tracking * max(0, len(letters) - 1))

    def _spaced_letters(self, line: str) -> tuple[str, ...]:
        """What is drawn with space between: the letters of a line, or all of it as one."""
        spaced = self.tracking and all(_stands_alone(letter) for letter in line)
        return clusters(line) if spaced else (line,)

    def draw(
        self, image: Image.Image, x: float, y: float, fill: tuple[int, ...], width: float | None = None
    ) -> None:
        """Draws into an RGB or RGBA image with the upper left corner at (x, y) pixels.

        Right-to-left lines end at the right of `width` pixels, or of the longest line.
        """
        room = self.width if width is None else width
        for number, line in enumerate(self.lines):
            indent = room - self._line_width(line) if self.right_to_left else 0
            self._draw_line(image, line, x + indent, y + number * self.size * LEADING, fill)

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
        direction = ("rtl" if self.right_to_left else "ltr") if self.face.shapes else None
        for run in self._spaced_letters(line):
            # Without FriBiDi, Pillow draws letters from left to right as they come.
            letters = run if direction else _in_order(run, self.right_to_left)
            draw.text((pen, baseline), letters, font=font, fill=255, anchor="ls", direction=direction)
            pen += font.getlength(run) + self.tracking * self.size * finer
        mask = mask.reduce(finer)
        image.paste(fill, (left - margin, top), mask)


def _in_order(line: str, right_to_left: bool) -> str:
    ordered = get_display(line, base_dir="R" if right_to_left else "L")
    assert isinstance(ordered, str)
    return ordered


def _stands_alone(letter: str) -> bool:
    return not letter.isalpha() or unicodedata.name(letter, "").startswith(_SPACED)


def prepared(text: str) -> tuple[str, Face]:
    """The text as it can be drawn, and the font for it.

    If no font of this machine has all letters, missing ones lose their accents or, at worst, become boxes.
    """
    text = unicodedata.normalize("NFC", clean(text))
    letters = frozenset(letter for letter in text if not letter.isspace() and not is_ignorable(letter))
    face = face_for(letters)
    missing = face.lacks(letters)
    text = "".join(_plain(c, face) if c in missing else c for c in text)
    if not face.shapes:
        # Nothing would act on them, and they would be drawn as boxes.
        text = "".join(c for c in text if c in BREAKS or not is_ignorable(c))
    return text, face


def _plain(letter: str, face: Face) -> str:
    simple = "".join(c for c in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(c))
    simple = simple.translate(_PLAIN)
    return letter if face.lacks(frozenset(simple) - {" "}) else simple


@lru_cache(maxsize=256)
def face_for(letters: frozenset[str]) -> Face:
    """The font of this machine that has all of `letters`, or the most of them."""
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
        lines = _wrapped(pieces, face, width / size)
        broken = size > largest / 2 and any(wide > width / size for _, wide, _ in pieces)
        if len(lines) * size * LEADING <= height and not broken:
            break
        size = max(smallest, size * 0.96)
    lines = _wrapped(pieces, face, width / size)
    room = max(1, int(height / (size * LEADING) + 0.01))
    cut = len(lines) > room
    if cut:
        lines = [*lines[: room - 1], _cut(lines[room - 1], face, width / size)]
    else:
        lines = _balanced(pieces, face, lines, width / size)
    return Block((*closed(lines),), face, size, cut, right_to_left=is_right_to_left(text))


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
    return [(part, 1.01 * advance(part.rstrip(), face), 1.01 * advance(part, face)) for part in parts(text)]


def _wrapped(pieces: Sequence[_Piece], face: Face, width: float) -> list[str]:
    lines, line, used = [], "", 0.0
    for text, tight, wide in pieces:
        if used + tight > width and line:
            lines.append(line)
            line, used = "", 0.0
        if tight > width:
            *broken, text = _broken(text.rstrip(), face, 0.9 * width)
            lines += broken
            # The space after the word stands at the end of the line, where it takes none.
            wide = 1.01 * advance(text, face) + wide - tight
            text += " "
        line, used = line + text, used + wide
    return [shown for line in [*lines, line] if (shown := shown_line(line))]


def _broken(word: str, face: Face, width: float) -> list[str]:
    """A word in pieces that are no wider than `width` font sizes, or one letter."""
    letters, pieces = clusters(word), []
    while letters:

        def wide(count: int, letters: tuple[str, ...] = letters) -> float:
            return 1.01 * advance("".join(letters[:count]), face)

        count = max(1, bisect_right(range(1, len(letters) + 1), width, key=wide))
        pieces.append("".join(letters[:count]))
        letters = letters[count:]
    return pieces


def _balanced(pieces: Sequence[_Piece], face: Face, lines: list[str], width: float) -> list[str]:
    """The same number of lines, of similar length, so that no line has a single word."""
    narrow, wide = 0.5 * width, width
    for _ in range(6):
        middle = (narrow + wide) / 2
        trial = _wrapped(pieces, face, middle)
        if len(trial) <= len(lines):
            lines, wide = trial, middle
        else:
            narrow = middle
    return lines


def _cut(line: str, face: Face, width: float) -> str:
    letters = clusters(line)
    while letters and 1.01 * advance("".join(letters) + _ELLIPSIS, face) > width:
        letters = letters[:-1]
    return "".join(letters).rstrip(" ,;:.-") + _ELLIPSIS
