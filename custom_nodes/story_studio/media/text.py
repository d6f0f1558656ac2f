"""Text as it can be shown: without what no viewer can see, and with its right-to-left parts in order."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from uniseg.derived import default_ignorable_code_point

_OPENERS = dict.fromkeys("\u202a\u202b", "\u202c") | dict.fromkeys("\u2066\u2067\u2068", "\u2069")
"""The controls that start a part with a direction of its own, and what ends it."""
_CLOSERS = frozenset(_OPENERS.values())


def clean(text: str) -> str:
    """The text without control characters, halves of surrogate pairs and what is not a character.

    Tabs and line breaks of all kinds become spaces. What shapes the letters, such as joiners, stays, but not
    what turns them around regardless of their script.
    """
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return "".join(" " if _breaks_lines(c) else c for c in paired if _breaks_lines(c) or not _is_noise(c))


def is_visible(text: str) -> bool:
    """Whether anything of the text can be seen."""
    return any(unicodedata.category(c)[0] != "Z" and not is_ignorable(c) for c in clean(text))


@lru_cache(maxsize=4096)
def is_ignorable(letter: str) -> bool:
    """Whether a letter has no shape of its own: joiners, direction marks, the zero-width space and such."""
    return default_ignorable_code_point(letter) or unicodedata.category(letter) == "Cf"


def is_right_to_left(text: str) -> bool:
    """Whether a paragraph runs from right to left: its first letter with a direction says so."""
    return next(
        (kind != "L" for c in text if (kind := unicodedata.bidirectional(c)) in ("L", "R", "AL")), False
    )


def closed(lines: Sequence[str]) -> list[str]:
    """The lines, each with its directional controls closed, as every line is laid out for itself."""
    result, opened = [], ""
    for line in lines:
        kept = opened
        for letter in line:
            if letter in _OPENERS:
                opened += letter
            elif letter in _CLOSERS:
                if not opened or _OPENERS[opened[-1]] != letter:
                    continue
                opened = opened[:-1]
            kept += letter
        result.append(kept + "".join(_OPENERS[letter] for letter in reversed(opened)))
    return result


def _breaks_lines(letter: str) -> bool:
    return letter.isspace() and unicodedata.category(letter) in ("Cc", "Zl", "Zp")


def _is_noise(letter: str) -> bool:
    code = ord(letter)
    return (
        letter in "\u202d\u202e\ufeff"
        or unicodedata.category(letter) == "Cc"
        or code & 0xFFFE == 0xFFFE
        or 0xFDD0 <= code <= 0xFDEF
    )
