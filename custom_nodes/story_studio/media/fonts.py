"""The fonts of this machine by family, how wide text is in them, and what libass must know to find them."""

from __future__ import annotations

import os
import struct
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from PIL import ImageFont

from .cards.lettering import Face, advance, face_for
from .linebreak import clusters
from .text import is_ignorable

BUILT_IN = "Aileron"
"""The family of the font that Pillow brings, which has little more than Latin letters."""
_PREFERRED = (
    "Noto Sans",
    "Open Sans",
    "Roboto",
    "Liberation Sans",
    "DejaVu Sans",
    "Helvetica Neue",
    "Segoe UI",
    "Arial",
)
_IDEOGRAPHS = {"ja": "JP", "ko": "KR", "zh": "SC", "zh-tw": "TC", "zh-hant": "TC", "zh-hk": "HK"}
"""Which of Noto's fonts has the shapes of ideographs that readers of a language expect."""
_SAMPLE = 12
"""Letters by which a font for a script is chosen."""
_SUFFIXES = frozenset({".ttf", ".otf", ".ttc", ".otc"})
_STYLES = ("Bold", "Regular", "Book", "Roman")
"""Styles that captions can have, the best one first."""


class Font(NamedTuple):
    """One face of a font file: its family, its style such as Bold, and its place."""

    family: str
    style: str
    file: str
    index: int


def font_folders() -> list[Path]:
    """Where this machine keeps its fonts; not all of them need exist."""
    home = Path.home()
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    if sys.platform == "win32":
        local = Path(os.environ.get("LOCALAPPDATA", home), "Microsoft/Windows/Fonts")
        return [Path(os.environ.get("WINDIR", "C:/Windows"), "Fonts"), local]
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    return [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), data / "fonts", home / ".fonts"]


@lru_cache(maxsize=1)
def installed() -> tuple[Font, ...]:
    """All outline fonts of this machine, in the order of their files."""
    files = (
        file
        for folder in font_folders()
        for file in sorted(Path(folder).rglob("*"))
        if file.suffix.lower() in _SUFFIXES
    )
    return tuple(font for file in files for font in _faces(str(file)))


def _faces(file: str) -> Iterator[Font]:
    index = 0
    while True:
        try:
            family, style = ImageFont.truetype(file, 10, index).getname()
        except OSError:
            return
        if family:
            yield Font(family, style or "", file, index)
        index += 1
        if not file.lower().endswith("c"):
            return


def family_named(name: str) -> str:
    """The family that a user means by `name`, in any case.

    Raises:
        ValueError: this machine has no such font.
    """
    families = {family.casefold(): family for family in (BUILT_IN, *(font.family for font in installed()))}
    if found := families.get(name.strip().casefold()):
        return found
    there = ", ".join(sorted(families.values())[:40])
    raise ValueError(
        f"The font {name.strip()!r} of the captions is not on this machine: install it, leave `font` empty, "
        f"or use one of these: {there}."
    )


def family_for(text: str, language: str) -> str:
    """The family that suits a text: a usual one, or one of its script if that lacks most of the letters."""
    there = {font.family for font in installed()}
    usual = next((family for family in _PREFERRED if family in there), BUILT_IN)
    counts = Counter(letter for letter in text if letter.isalpha())
    missing = bold_face(usual).lacks(frozenset(counts))
    if sum(counts[letter] for letter in missing) <= counts.total() / 2:
        return usual
    sample = frozenset(sorted(missing, key=lambda letter: (-counts[letter], letter))[:_SAMPLE])
    face = face_for(sample)
    any_other = (font.family for font in installed() if Face(font.file, font.index) == face)
    others = (family for family in (*_fallbacks(language), *any_other) if family in there)
    return next((family for family in others if not bold_face(family).lacks(sample)), usual)


def bold_face(family: str) -> Face:
    """The face of a family that libass takes for bold letters."""

    def distance(font: Font) -> int:
        return _STYLES.index(font.style) if font.style in _STYLES else len(_STYLES)

    fonts = [font for font in installed() if font.family == family]
    best = min(fonts, key=distance, default=None)
    return Face(best.file, best.index) if best else Face()


@lru_cache(maxsize=8192)
def width_of(text: str, face: Face) -> float:
    """The width of a line, in font sizes, in `face` and in those that have what it lacks."""
    runs = groupby(clusters(text), key=lambda letter: _face_of(letter, face))
    return sum(advance("".join(letters), used) for used, letters in runs)


@lru_cache(maxsize=8192)
def _face_of(letter: str, face: Face) -> Face:
    shown = frozenset(c for c in letter if not c.isspace() and not is_ignorable(c))
    if not face.lacks(shown):
        return face
    # Looking for a font takes long, and the letters of a script are in the same one.
    script = unicodedata.name(letter[0], "").split(" ")[0]
    if script not in _FACES:
        _FACES[script] = face_for(shown)
    return _FACES[script]


_FACES: dict[str, Face] = {}
"""The fonts found for scripts, which are called as the names of their letters start."""


def _fallbacks(language: str) -> list[str]:
    """Families in the order in which they are asked for letters; not all of them need be installed."""
    code = language.lower()
    region = _IDEOGRAPHS.get(code) or _IDEOGRAPHS.get(code.split("-")[0], "SC")
    order = [
        "Noto Sans",
        *(f"Noto Sans CJK {name}" for name in (region, "SC", "JP", "KR")),
        *sorted({font.family for font in installed() if font.family.startswith("Noto Sans")}),
        *_PREFERRED,
        "WenQuanYi Micro Hei",
    ]
    return [*dict.fromkeys(order)]


class Metrics(NamedTuple):
    """What libass reads from a font, in em: the height that it takes for the font size, and the descent."""

    height: float
    descent: float


@lru_cache(maxsize=64)
def metrics(face: Face) -> Metrics:
    """The metrics that libass scales a font by: Windows' of the table `OS/2`, as VSFilter did.

    From `ass_face_set_size` in libass, with the tables of OpenType 1.9.
    """
    data = Path(face.file).read_bytes() if face.file else built_in_font()
    start = struct.unpack_from(">I", data, 12 + 4 * face.index)[0] if data[:4] == b"ttcf" else 0
    count = struct.unpack_from(">H", data, start + 4)[0]
    tables = {}
    for number in range(count):
        tag, _, offset, _ = struct.unpack_from(">4s3I", data, start + 12 + 16 * number)
        tables[tag] = offset
    units = struct.unpack_from(">H", data, tables[b"head"] + 18)[0]
    ascent, descent = struct.unpack_from(">2H", data, tables[b"OS/2"] + 74) if b"OS/2" in tables else (0, 0)
    if not ascent + descent:
        above, below = struct.unpack_from(">2h", data, tables[b"hhea"] + 4)
        ascent, descent = above, -below
    return Metrics((ascent + descent) / units, descent / units)


def built_in_font() -> bytes:
    """The file of Pillow's own font."""
    font = ImageFont.load_default(10)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType."
    return font.font_bytes


def fontconfig(language: str) -> str:
    """A configuration of fontconfig: the machine's own, also where it has none, with an order of fallbacks.

    libass asks it for the fonts whose letters the caption's own lacks. `language` (BCP 47) says which shapes
    ideographs have.
    """
    prefer = "".join(f"<family>{escape(family)}</family>" for family in _fallbacks(language))
    folders = "".join(f"<dir>{escape(str(folder))}</dir>" for folder in font_folders())
    own = os.environ.get("FONTCONFIG_FILE", "/etc/fonts/fonts.conf")
    return (
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd"><fontconfig>'
        f'<include ignore_missing="yes">{escape(own)}</include>{folders}'
        '<cachedir prefix="xdg">fontconfig</cachedir>'
        f'<alias binding="strong"><family>sans-serif</family><prefer>{prefer}</prefer></alias></fontconfig>'
    )
