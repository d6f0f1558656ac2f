"""Plain text: a scene for each paragraph; a first line that stands alone is the title."""

from __future__ import annotations

import re
from itertools import groupby

from .parts import Script
from .speakers import label_of, passage_of, speakers_in

_ENDS = tuple(".!?…,;:。！？؟\"'”’»)")
_LONGEST_TITLE = 80
_BREAK = re.compile(r"[\W_]+")
"""A line such as `* * *`."""

Lines = list[tuple[int, str]]


def read_plain_text(text: str) -> Script:
    """The script in a text, whose paragraphs have empty lines between them."""
    paragraphs = [
        paragraph for paragraph in _paragraphs(text) if not all(map(_BREAK.fullmatch, _texts(paragraph)))
    ]
    speakers = speakers_in(map(_texts, paragraphs))
    script = Script()
    if len(paragraphs) > 1 and _is_title(_texts(paragraphs[0])):
        script.title = _texts(paragraphs.pop(0))[0]
    script.passages = [passage_of(paragraph, speakers) for paragraph in paragraphs]
    return script


def _paragraphs(text: str) -> list[Lines]:
    lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
    return [list(group) for is_text, group in groupby(lines, lambda one: bool(one[1])) if is_text]


def _texts(paragraph: Lines) -> list[str]:
    return [line for _, line in paragraph]


def _is_title(lines: list[str]) -> bool:
    line = lines[0]
    return (
        len(lines) == 1
        and len(line) <= _LONGEST_TITLE
        and not line.endswith(_ENDS)
        and label_of(line) is None
    )
