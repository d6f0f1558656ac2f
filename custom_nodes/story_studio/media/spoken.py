"""The words of a text as they are spoken: which they are, and how long each takes to say."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import groupby
from typing import Literal

from .linebreak import BREAKS, clusters, parts
from .text import clean

SENTENCE_END = re.compile(r"[.!?…。！？]['\"”’»)\]」』）]*$")
CLAUSE_END = re.compile(r"[,;:–—，、；：]['\"”’»)\]」』）]*$")
_VOWELS = frozenset("aeiouyаеёиоуыэюяіїєαεηιουω")
_VOWEL, _GLIDE, _CONSONANT, _SILENT_E = 0.115, 0.035, 0.04, 0.05
"""Seconds of the first of several vowels, of each further one, of a consonant, and of the e of `time`.

A least squares fit to the durations that Piper's model predicted for 141 words of English."""
_SYLLABLE, _MORA, _DIGIT, _SIGN = 0.19, 0.13, 0.3, 0.35
"""Seconds of an ideograph, a Korean syllable or a spelled letter; of a kana or a letter of other scripts; of
a digit; and of a sign that is read aloud."""
_FULL_STOP = 1.4
"""Words before a pause are longer by about this factor."""
_LONGEST_UNSPACED = 6
"""Letters in a piece of Thai, Lao, Khmer or Burmese, which only a dictionary could split into words."""
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]{9,}")

Pause = Literal["sentence", "clause", "none"]


def words(text: str) -> list[str]:
    """The words of a text, each with its punctuation and without spaces.

    A word ends where a line can break, so an ideograph is a word of its own. So is a dash between spaces,
    which takes no time to say.
    """
    found: list[str] = []
    for part in parts(clean(text)):
        word = "".join(letter for letter in part if letter not in BREAKS).strip()
        if _UNSPACED.search(word):
            letters = clusters(word)
            starts = range(0, len(letters), _LONGEST_UNSPACED)
            found += ["".join(letters[at : at + _LONGEST_UNSPACED]) for at in starts]
        elif word:
            found.append(word)
    return found


@lru_cache(maxsize=65536)
def seconds(word: str) -> float:
    """How long a word takes to say at an average pace; 0 for punctuation."""
    plain = _without_accents(word)
    letters = "".join(filter(str.isalpha, plain))
    if len(letters) > 1 and letters.isupper() and not _VOWELS & set(letters.lower()):
        length = len(letters) * _SYLLABLE
        plain = "".join(c for c in plain if not c.isalpha())
    else:
        length = 0.0
    runs = groupby(plain.lower(), lambda letter: letter in _VOWELS)
    for is_vowel, run in runs:
        if is_vowel:
            length += _VOWEL + _GLIDE * (sum(1 for _ in run) - 1)
        else:
            length += sum(map(_letter_seconds, run))
    if re.search(r"[aeiouy][^aeiouy]+e$", letters.lower()):
        length -= _VOWEL - _SILENT_E
    return length * (1.0 if pause_after(word) == "none" else _FULL_STOP)


def pause_after(word: str) -> Pause:
    """The pause that a speaker makes after a word, judging from its punctuation."""
    if SENTENCE_END.search(word):
        return "sentence"
    return "clause" if CLAUSE_END.search(word) else "none"


def _without_accents(word: str) -> str:
    # Korean syllables stay whole: decomposed they would count as several letters.
    return "".join(
        letter if "\uac00" <= letter <= "\ud7a3" else unicodedata.normalize("NFKD", letter)[0]
        for letter in word
        if not unicodedata.combining(letter)
    )


@lru_cache(maxsize=4096)
def _letter_seconds(letter: str) -> float:
    kind = unicodedata.category(letter)
    if kind[0] == "N":
        return _DIGIT
    if letter in "%&@+=€$£¥°§":
        return _SIGN
    if kind[0] != "L":
        return 0.0
    name = unicodedata.name(letter, "")
    if name.startswith(("CJK", "HANGUL")):
        return _SYLLABLE
    return _CONSONANT if name.startswith(("LATIN", "CYRILLIC", "GREEK")) else _MORA
