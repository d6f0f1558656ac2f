"""What every kind of script is read into, before it becomes a story."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_BREAKS = str.maketrans({char: " " for char in "\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029"})
"""Characters that a line of a script may hold for layout, and YAML would not."""


@dataclass
class Spoken:
    """Words that one person says without a break.

    Attributes:
        text: the words.
        line: where they begin.
        speaker: the name as the script has it; empty for a narrator.
        is_off: whether the speaker is heard and not seen.
        manner: how the words are said, and what happens meanwhile.
    """

    text: str
    line: int
    speaker: str = ""
    is_off: bool = False
    manner: str = ""


@dataclass
class Passage:
    """A part of a script that becomes a scene, or several where somebody is heard from off screen.

    Attributes:
        line: where it begins.
        said: the words in it, in order.
        shown: what is seen, as far as the script says so.
        hint: what else the script says, for whoever fills in the prompt.
        title: of the chapter that begins here; empty if none does.
        id: as the script has it.
        fields: further fields of the scene.
        is_prompt: whether `shown` is meant as a prompt, rather than as a part of one.
    """

    line: int
    said: list[Spoken] = field(default_factory=list)
    shown: str = ""
    hint: str = ""
    title: str = ""
    id: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    is_prompt: bool = False


@dataclass
class Script:
    """A script.

    Attributes:
        title: of the film.
        credits: who wrote it, a line each.
        language: its tag, if the script names it.
        passages: in order.
        looks: what the script says of people's looks, by their names.
        notes: what of the script is not in the story, a sentence each.
    """

    title: str = ""
    credits: str = ""
    language: str = ""
    passages: list[Passage] = field(default_factory=list)
    looks: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, line: int, what: str) -> None:
        """Notes what is left out, once for each kind of thing."""
        if not any(note.endswith(what) for note in self.notes):
            self.notes.append(f"line {line}: {what}")


def without_layout(text: str) -> str:
    """A text whose page breaks and unusual line breaks are spaces; newlines stay."""
    return text.translate(_BREAKS)


def one_line(text: str) -> str:
    """A text with single spaces only."""
    return " ".join(text.split())


def slug(text: str, longest: int = 40) -> str:
    """A text as an id: letters of ASCII, digits, `-`; empty if it has none."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:longest].strip("-")
