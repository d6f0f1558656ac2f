"""Where the values of a story file stand in it, and the bounds that every story file keeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .problems import Problem

MAX_VALUES = 50_000
"""Values of a file, those that YAML aliases repeat included; 500 scenes with every key have 6,000."""
MAX_DEPTH = 50
_MAX_SHOWN = 80

Location = tuple[str | int, ...]


@dataclass(slots=True)
class Place:
    """Where a value stands.

    Attributes:
        line: the line that it begins in; 0 if unknown.
        text: the value as written, where YAML does not read unquoted text as text.
        inside: the places of a mapping's keys, or of a list's items.
        size: how many values it is made of.
    """

    line: int
    text: str = ""
    inside: dict[str | int, Place] = field(default_factory=dict)
    size: int = 1


@dataclass(frozen=True)
class Date:
    """What YAML reads as a date, existing or not. No key of a story takes one."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Document:
    """A file's value, the places in it, and what is wrong although it could be read."""

    value: Any
    place: Place
    problems: list[Problem]


class Unreadable(Exception):
    """Why a text cannot be read at all."""

    def __init__(self, line: int, what: str):
        self.problem = Problem(f"line {line}", what)
        super().__init__(str(self.problem))


class TooLarge(Unreadable):
    """A text is larger than any story, whatever its format is."""


class Counter:
    """Counts the values of a file while it is read.

    Attributes:
        count: the values so far.
    """

    def __init__(self) -> None:
        self.count = 0

    def add(self, size: int, line: int, depth: int) -> None:
        """Counts a value, or those that an alias repeats.

        Raises:
            TooLarge: they are too many, or too deep.
        """
        self.count += size
        if self.count > MAX_VALUES:
            how = "aliases repeat too much" if size > 1 else f"there are more than {MAX_VALUES:,} values"
            what = f"{how}; a story has at most 500 scenes: split it into several files."
            raise TooLarge(line, what)
        if depth > MAX_DEPTH:
            raise TooLarge(line, f"nested more than {MAX_DEPTH} deep: see workflows/demo/story.yaml.")


def dotted(location: Iterable[str | int]) -> str:
    """A location as messages show it: `scenes[1].audio`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{printable(part)}" for part in location)
    return "".join(parts).lstrip(".")


def printable(text: str) -> str:
    """The beginning of an author's text, safe to show on any terminal."""
    return "".join(char if char.isprintable() else "?" for char in text[:_MAX_SHOWN]) or '""'


def duplicate(location: Location, line: int, first: int, hint: str) -> Problem:
    """The problem of a key that a mapping has more than once: all but one would be dropped."""
    what = f"is a duplicate of the key in line {first}: delete one of them{hint}."
    return Problem(f"{dotted(location)} (line {line})", what)
