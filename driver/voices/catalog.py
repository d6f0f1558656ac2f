"""Which voice speaks a text, and how long that takes."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import langcodes

from story_studio.story.problems import nearest

from .engines import Voice
from .text import cleaned

INSTALL = "run ./install.sh, or pip install 'story-studio[voices]'"
RECIPE = "name a voice recipe in `voice_settings.workflow`, or give the scene a recording as `audio`"
_CHARACTERS_A_SECOND = 16.0
"""Measured on hibari/heart and piper/joe at speed 1: 15 to 19 in sentences, pauses included."""
_DIGIT, _WIDE = 5, 3.5
"""Letters that a digit counts for, which is a word, and a character of Chinese, Japanese or Korean."""


def choose(name: str, language: str | None, voices: Sequence[Voice]) -> Voice:
    """The voice of this name; without a name, the first that speaks the language.

    Args:
        name: as in a story; empty for none.
        language: of the text, as a tag; English if it is not known.
        voices: those on this machine.

    Raises:
        ValueError: there is no such voice, or it speaks another language; with what to do.
    """
    if not voices:
        raise ValueError(f"no voice is installed here: {INSTALL}; or {RECIPE}.")
    wanted = language or (next((voice.language for voice in voices if voice.name == name), "en"))
    speakers = [voice for voice in voices if _primary(voice.language) == _primary(wanted)]
    if name:
        found = next((voice for voice in voices if voice.name == name), None)
        if not found:
            raise ValueError(
                f"there is no voice {name[:64]!r} here, {nearest(name, [voice.name for voice in voices])}"
            )
        if found not in speakers:
            raise ValueError(
                f"the voice {name} speaks {found.language}, and the text is {wanted}: "
                f"{_alternatives(speakers)}{RECIPE}."
            )
        return found
    if not speakers:
        languages = ", ".join(sorted({voice.language for voice in voices}))
        raise ValueError(
            f"no voice here speaks {wanted} (they speak {languages}): put a Piper voice for it into "
            f"models/piper, {RECIPE}."
        )
    same = [voice for voice in speakers if voice.language.lower() == wanted.lower()]
    return (same or speakers)[0]


def estimated_seconds(text: str, speed: float = 1.0) -> float:
    """About how long a text is when it is spoken, pauses included; 0 if nothing in it can be said."""
    return sum(map(_letters, cleaned(text))) / _CHARACTERS_A_SECOND / speed


def _letters(character: str) -> float:
    if character.isdigit():
        return _DIGIT
    return _WIDE if unicodedata.east_asian_width(character) in "WF" else 1


def _primary(language: str) -> str:
    return langcodes.get(langcodes.standardize_tag(language)).language or "und"


def _alternatives(voices: Sequence[Voice]) -> str:
    return f"choose {' or '.join(voice.name for voice in voices[:3])}, " if voices else ""
