"""Where text of any language can be broken into lines, by Unicode's rules (UAX #14), and where words can."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate

from uniseg.graphemecluster import grapheme_clusters
from uniseg.linebreak import line_break_units

BREAKS = frozenset("\u00ad\u200b")
"""The soft hyphen and the zero-width space: where a line can be broken, and invisible elsewhere."""
# Not what a no-break space of any width is, which joins words.
_SPACES = re.compile(r"[^\S\u00a0\u2007\u202f]+")
# Between two letters a space is an opportunity whatever stands before and after, so the text can be taken
# in short pieces, which come again and again.
_BETWEEN_WORDS = re.compile(r"(?<=[^\W\d_] )(?=[^\W\d_])")
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")


def parts(text: str) -> list[str]:
    """Splits text at all line break opportunities; each part includes a following space."""
    words = _BETWEEN_WORDS.split(_SPACES.sub(" ", text).strip(" "))
    return [part for word in words for part in _units(word)]


@lru_cache(maxsize=65536)
def clusters(text: str) -> tuple[str, ...]:
    """The letters as a reader sees them, each with its marks and joined parts."""
    return (*text,) if text.isascii() else (*grapheme_clusters(text),)


def shown_line(line: str) -> str:
    """A line as it is shown: a soft hyphen is visible at its end only."""
    hyphen = "-" if line.rstrip().endswith("\u00ad") else ""
    return "".join(letter for letter in line if letter not in BREAKS).strip() + hyphen


def shortened(text: str, size: int) -> str:
    """The text if it takes at most `size` bytes in UTF-8, else its start and an ellipsis."""
    if len(text.encode()) <= size:
        return text
    ends = accumulate(len(letter.encode()) for letter in clusters(text))
    kept = sum(end <= size - len("…".encode()) for end in ends)
    return "".join(clusters(text)[:kept]).rstrip() + "…"


@lru_cache(maxsize=65536)
def _units(text: str) -> tuple[str, ...]:
    if text.removesuffix(" ").isalpha() and text.isascii():
        return (text,)
    return (*_whole_hangul(line_break_units(text)),)


def _whole_hangul(units: Iterator[str]) -> Iterator[str]:
    """Korean with its words whole, as its readers expect: by default it may be broken at any syllable."""
    word = ""
    for unit in units:
        if word and not (_HANGUL.fullmatch(word[-1]) and _HANGUL.match(unit)):
            yield word
            word = ""
        word += unit
    if word:
        yield word
