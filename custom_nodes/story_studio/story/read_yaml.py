"""YAML as stories use it, with the line of every value: no objects, no dates, no unbounded expansion."""

from __future__ import annotations

import re
from typing import Any

import yaml

from .places import Counter, Date, Document, Location, Place, Unreadable, dotted, duplicate
from .problems import Problem

# libyaml's is twenty times as fast; PyYAML may be built without it.
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CONTROL = re.compile(r"[^\x09\x0a\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What YAML does not allow, and the line breaks that no editor counts as such."""
_TEXT_AFTER_END = re.compile(r""":\s+["'\[{]""")
_PREFIX = "tag:yaml.org,2002:"
_MAX_SCALAR = 100
"""Characters of the longest number or date; all that is longer is text."""
_NEW_SCENE = ', or begin a new item with "- " if a new scene begins'

Read = tuple[Any, Place]


def read_yaml(text: str) -> Document:
    """Reads a YAML text, whose line breaks are all newlines.

    Raises:
        Unreadable: it is not YAML, is nested too deeply, or has too many values.
    """
    if match := CONTROL.search(text):
        line = text.count("\n", 0, match.start()) + 1
        raise Unreadable(line, f"holds the invisible character U+{ord(match[0]):04X}: delete it.")
    try:
        return _Reader(text).document()
    except yaml.MarkedYAMLError as error:
        raise _unreadable(error, text) from None


class _Reader:
    """Builds values from events: PyYAML's loaders would expand aliases and drop duplicate keys."""

    def __init__(self, text: str):
        self._loader = _Loader(text)
        self._counter = Counter()
        self._anchors: dict[str, Read | None] = {}
        self._problems: list[Problem] = []

    def document(self) -> Document:
        self._next()
        first = self._next()
        if isinstance(first, yaml.StreamEndEvent):
            return Document(None, Place(1), [])
        value, place = self._value(self._next(), (), 0)
        self._next()
        more = self._next()
        if isinstance(more, yaml.DocumentStartEvent):
            what = "begins a second document (---), and a file holds one story: delete the line, or split it."
            raise Unreadable(_line(more), what)
        return Document(value, place, self._problems)

    def _next(self) -> Any:
        return self._loader.get_event()

    def _value(self, event: Any, location: Location, depth: int) -> Read:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        start = self._counter.count
        self._counter.add(1, line, depth)
        if event.anchor:
            self._anchors[event.anchor] = None
        place = Place(line)
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, location, place)
        elif isinstance(event, yaml.MappingStartEvent):
            self._check_tag(event, "map", location)
            value = self._mapping(location, depth, place, in_flow=bool(event.flow_style))
        else:
            self._check_tag(event, "seq", location)
            value = []
            while not isinstance(item := self._next(), yaml.SequenceEndEvent):
                read, place.inside[len(value)] = self._value(item, (*location, len(value)), depth + 1)
                value.append(read)
        place.size = self._counter.count - start
        if event.anchor:
            self._anchors[event.anchor] = value, place
        return value, place

    def _mapping(self, location: Location, depth: int, place: Place, *, in_flow: bool) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: list[Read] = []
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            line, key = _line(event), self._key(event)
            value, inside = self._value(self._next(), (*location, key), depth + 1)
            if key in place.inside:
                hint = _NEW_SCENE if location and isinstance(location[-1], int) and not in_flow else ""
                self._problems.append(duplicate((*location, key), line, place.inside[key].line, hint))
                continue
            # A copy, because an alias stands in several lines.
            place.inside[key] = Place(line, inside.text, inside.inside, inside.size)
            if key == "<<" and event.implicit[0]:
                merged = self._merged(value, inside, location, line)
            else:
                own[key] = value
        result: dict[str, Any] = {}
        for mapping, of_mapping in reversed(merged):
            result |= mapping
            place.inside = of_mapping.inside | place.inside
        return result | own

    def _merged(self, value: Any, place: Place, location: Location, line: int) -> list[Read]:
        """The mappings of a merge key (`<<`), the most important one first."""
        reads = [(value, place)]
        if isinstance(value, list):
            reads = [(item, place.inside[number]) for number, item in enumerate(value)]
        if all(isinstance(mapping, dict) for mapping, _ in reads):
            return reads
        what = "merges a mapping, like `<<: *name`: put the key in quotes if it is meant as text."
        self._problems.append(Problem(f"{dotted((*location, '<<'))} (line {line})", what))
        return []

    def _key(self, event: Any) -> str:
        if isinstance(event, yaml.AliasEvent):
            value, _ = self._alias(event, 0)
        elif isinstance(event, yaml.ScalarEvent):
            # The keys of a story are text, also `on`, `1` and a date.
            value = event.value
            if event.anchor:
                self._anchors[event.anchor] = value, Place(_line(event))
        else:
            value = None
        if not isinstance(value, str):
            raise Unreadable(
                _line(event), "a key must be text: put it in quotes, or delete the `?` before it."
            )
        return value

    def _alias(self, event: Any, depth: int) -> Read:
        name, line = event.anchor, _line(event)
        if name not in self._anchors:
            what = f"*{name} is read as an alias, and nothing is named &{name}: put the text in quotes."
            raise Unreadable(line, what)
        if (read := self._anchors[name]) is None:
            raise Unreadable(line, f"*{name} stands inside of what it repeats: write out what is meant.")
        self._counter.add(read[1].size, line, depth)
        return read

    def _scalar(self, event: Any, location: Location, place: Place) -> Any:
        text, tag = event.value, event.tag
        if tag not in (None, "!"):
            if tag.removeprefix(_PREFIX) not in ("str", "int", "float", "bool", "null"):
                self._check_tag(event, "str", location)
                return text
        elif event.implicit[0] and len(text) <= _MAX_SCALAR:
            tag = self._loader.resolve(yaml.ScalarNode, text, (True, False))
        else:
            return text
        value = self._converted(text, tag.removeprefix(_PREFIX))
        place.text = text if not isinstance(value, str) else ""
        return value

    def _converted(self, text: str, kind: str) -> Any:
        """A scalar as YAML 1.1 reads it; as text if it cannot be converted."""
        node = yaml.ScalarNode(f"{_PREFIX}{kind}", text)
        if kind == "null":
            return None
        if kind == "timestamp":
            return Date(text)
        if kind == "bool":
            return self._loader.bool_values.get(text.lower(), text)
        if kind in ("int", "float"):
            try:
                return getattr(self._loader, f"construct_yaml_{kind}")(node)
            except ValueError:
                return text
        return text

    def _check_tag(self, event: Any, expected: str, location: Location) -> None:
        if event.tag in (None, "!", f"{_PREFIX}{expected}"):
            return
        tag = event.tag.replace(_PREFIX, "!!")[:80]
        what = f"has the tag {tag}: delete it, or put the whole text in quotes."
        self._problems.append(Problem(f"{dotted(location) or 'story'} (line {_line(event)})", what))


def _line(event: Any) -> int:
    return event.start_mark.line + 1


def _unreadable(error: yaml.MarkedYAMLError, text: str) -> Unreadable:
    """libyaml's message, or that of PyYAML's own parser, in the words of an author."""
    mark, begin = error.problem_mark, error.context_mark or error.problem_mark
    line, first = (mark.line + 1 if mark else 1), (begin.line + 1 if begin else 1)
    lines = text.split("\n")
    shown = lines[line - 1] if line <= len(lines) else ""
    problem, context = str(error.problem), str(error.context)
    indent = shown[: len(shown) - len(shown.lstrip())]
    if "\t" in indent:
        return Unreadable(line, "is indented with a tab, which YAML does not allow: use spaces.")
    if "quoted scalar" in context and "end of stream" in problem:
        return Unreadable(first, "a quote is opened here and never closed: close it.")
    if "escape" in problem:
        what = "has a backslash that begins no escape: write \\\\ for a backslash, or use single quotes."
        return Unreadable(line, what)
    if "flow " in context:
        what = f'a comma or the closing bracket is missing, of what begins in line {first} with "[" or "{{".'
        return Unreadable(line, what)
    if (
        "mapping values" in problem
        or "sequence entries" in problem
        or "could not find expected ':'" in problem
    ):
        what = (
            'has a ":" or "-" where none is expected: put text that has ": " in it in quotes, write a space '
            "after the colon of a key, and indent keys of one mapping alike; see the line before, too."
        )
        return Unreadable(line, what)
    if any(word in context for word in ("alias", "anchor", "tag", "block scalar")) or (
        "start any token" in problem or "mapping keys" in problem
    ):
        what = "text begins with a character that has a meaning in YAML: put the text in quotes."
        return Unreadable(line, what)
    if "block mapping" in context or "block collection" in context or "block sequence" in context:
        if _TEXT_AFTER_END.search(shown):
            what = "text follows a closing quote or bracket: put the whole text in quotes, with '' for '."
            return Unreadable(line, what)
        what = "is indented unlike the lines before it: indent all keys of one mapping, or all items, alike."
        return Unreadable(line, what)
    if "document start" in problem:
        return Unreadable(line, "is not part of the story, which ends before it: indent it as the keys are.")
    return Unreadable(line, f"is not YAML ({problem}): check the indentation and the quotes.")
