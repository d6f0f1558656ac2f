"""JSON with the line of every value, and messages that name the mistake."""

from __future__ import annotations

import re
from json import JSONDecodeError, JSONDecoder
from typing import Any

from .places import Counter, Document, Location, Place, Unreadable, duplicate, printable
from .problems import Problem

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"(-?(?:0|[1-9]\d*))(\.\d+)?([eE][-+]?\d+)?")
_WORD = re.compile(r"-?[A-Za-z]+")
_WORDS = {"true": True, "false": False, "null": None}
_STRINGS = JSONDecoder()
_MAX_DIGITS = 100
_ENDS = {"{": "}", "[": "]"}


def read_json(text: str) -> Document:
    """Reads a JSON text, whose line breaks are all newlines.

    Raises:
        Unreadable: it is not JSON, is nested too deeply, or has too many values.
    """
    return _Reader(text).document()


class _Reader:
    def __init__(self, text: str):
        self._text = text
        self._at = 0
        self._counted, self._line_there = 0, 1
        self._counter = Counter()
        self._problems: list[Problem] = []

    def document(self) -> Document:
        self._skip()
        value, place = self._value((), 0)
        self._skip()
        if self._at < len(self._text):
            raise self._wrong("text follows the end of the story: delete it.")
        return Document(value, place, self._problems)

    def _value(self, location: Location, depth: int) -> tuple[Any, Place]:
        line, start = self._line(self._at), self._counter.count
        self._counter.add(1, line, depth)
        char = self._text[self._at : self._at + 1]
        place = Place(line)
        if char == "{":
            value: Any = self._object(location, depth, place)
        elif char == "[":
            value = self._array(location, depth, place)
        else:
            value = self._string() if char == '"' else self._number_or_word()
        place.size = self._counter.count - start
        return value, place

    def _object(self, location: Location, depth: int, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._at += 1
        while self._has_another("{", not found):
            line = self._line(self._at)
            if self._text[self._at : self._at + 1] != '"':
                raise self._wrong('a key in double quotes is expected here, like "prompt".')
            key = self._string()
            self._skip()
            if self._text[self._at : self._at + 1] != ":":
                raise self._wrong(f'a colon is missing after the key "{printable(key)}".')
            self._at += 1
            self._skip()
            value, inside = self._value((*location, key), depth + 1)
            if key in found:
                hint = ', or put "}, {" between them if a new scene begins'
                first = place.inside[key].line
                self._problems.append(duplicate((*location, key), line, first, hint))
                continue
            inside.line = line
            found[key], place.inside[key] = value, inside
        return found

    def _array(self, location: Location, depth: int, place: Place) -> list[Any]:
        found: list[Any] = []
        self._at += 1
        while self._has_another("[", not found):
            value, place.inside[len(found)] = self._value((*location, len(found)), depth + 1)
            found.append(value)
        return found

    def _has_another(self, begin: str, first: bool) -> bool:
        """Skips to the next item of an object or array, or behind its end."""
        before, end = self._at, _ENDS[begin]
        self._skip()
        char = self._text[self._at : self._at + 1]
        if char == end:
            self._at += 1
            return False
        if first:
            return True
        if char != ",":
            if not char:
                raise self._wrong(f'the end is missing: a "{begin}" is not closed with "{end}".')
            shown = self._text[max(self._text.rfind("\n", 0, before) + 1, before - 30) : before].strip()
            raise self._wrong(f"a comma is missing after `{printable(shown)}`.", before - 1)
        comma = self._at
        self._at += 1
        self._skip()
        if self._text[self._at : self._at + 1] == end:
            raise self._wrong(f'there is a comma too many before the "{end}": delete it.', comma)
        return True

    def _string(self) -> str:
        try:
            value, self._at = _STRINGS.raw_decode(self._text, self._at)
        except JSONDecodeError as error:
            raise self._wrong(_string_error(error.msg), error.pos) from None
        return value

    def _number_or_word(self) -> Any:
        if match := _NUMBER.match(self._text, self._at):
            self._at = match.end()
            if len(match[0]) > _MAX_DIGITS:
                # Python refuses to convert thousands of digits; as text it fails like any other wrong value.
                return match[0]
            return float(match[0]) if match[2] or match[3] else int(match[0])
        match = _WORD.match(self._text, self._at)
        if match and match[0] in _WORDS:
            self._at = match.end()
            return _WORDS[match[0]]
        if match:
            raise self._wrong(f"`{printable(match[0])}` is not a JSON value: put text in double quotes.")
        raise self._wrong(_odd_value(self._text[self._at : self._at + 1]))

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at
        if self._text.startswith(("//", "/*"), self._at):
            raise self._wrong("JSON has no comments: delete it, or write the story as YAML.")

    def _line(self, at: int) -> int:
        if at < self._counted:
            return self._text.count("\n", 0, at) + 1
        self._line_there += self._text.count("\n", self._counted, at)
        self._counted = at
        return self._line_there

    def _wrong(self, what: str, at: int | None = None) -> Unreadable:
        return Unreadable(self._line(self._at if at is None else at), what)


def _odd_value(start: str) -> str:
    if not start:
        return "the text ends where a value is expected: add what is missing."
    if start in "'\u2018\u2019\u201c\u201d\u201e\u00ab":
        return f'{start} is not a quote of JSON: use straight double quotes ("), and \\" inside of text.'
    return f"`{printable(start)}` is not the beginning of a JSON value: put text in double quotes."


def _string_error(message: str) -> str:
    if message.startswith("Unterminated"):
        return "a quote is opened and never closed: close it."
    if message.startswith("Invalid control"):
        return "text holds a line break, a tab or a control character: write \\n for a break, \\t for a tab."
    return "text holds a backslash that begins no JSON escape: write \\\\ for a backslash, or / in a path."
