"""A script of any kind as a story."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, NamedTuple

from ..places import Document, Unreadable
from ..problems import Problem, Problems
from ..read_yaml import CONTROL
from ..schema import parse_document
from .assemble import assemble
from .fountain import read_fountain
from .markdown import read_markdown
from .parts import Script, slug, without_layout
from .plain_text import read_plain_text
from .subtitles import read_subtitles
from .table import read_table

_WHOLE = {
    ".txt": read_plain_text,
    ".text": read_plain_text,
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".fountain": read_fountain,
    ".spmd": read_fountain,
}
_WITH_PROBLEMS = {".csv": read_table, ".tsv": read_table, ".srt": read_subtitles, ".vtt": read_subtitles}
SUFFIXES = (*_WHOLE, *_WITH_PROBLEMS)
"""Of the names of scripts."""
_MAX_PROBLEMS = 50
_MAX_CHARACTERS = 5_000_000
"""What 500 scenes with the longest texts have together."""


class StoryOfScript(NamedTuple):
    """A story made from a script.

    Attributes:
        data: the story file's data; prompts and descriptions that are left to write begin with UNWRITTEN.
        notes: what of the script is not in the story, or was decided about it, a sentence each.
    """

    data: dict[str, Any]
    notes: list[str]


def story_from_script(name: str, text: str) -> StoryOfScript:
    """The story of a script: of plain text, Markdown, Fountain, a table (CSV) or subtitles (SRT, WebVTT).

    Args:
        name: the script's file name, whose suffix says what it is.
        text: its text, with newlines as its only line breaks.

    Raises:
        Problems: everything that is wrong with it, each with its line.
    """
    suffix = PurePosixPath(name).suffix.lower()
    try:
        script = _read(suffix, without_layout(text))
        return finished(script, name)
    except Unreadable as error:
        raise Problems([_in(name, error.problem)]) from None
    except Problems as error:
        raise Problems(_in(name, problem) for problem in error.problems) from None


def finished(script: Script, name: str) -> StoryOfScript:
    """The story of a script that was read. Raises Problems: it would not be a valid story."""
    data, place = assemble(script)
    project = slug(PurePosixPath(name).stem) or slug(script.title) or "story"
    data = {
        "project_id": f"{project}-film" if project == "story_studio" else project,
        "profile": "draft",
    } | data
    parse_document(Document(data, place, []), project)
    return StoryOfScript(data, script.notes)


def _read(suffix: str, text: str) -> Script:
    if len(text) > _MAX_CHARACTERS:
        what = f"has {len(text):,} characters, more than the longest story: split it into several files."
        raise Problems([Problem("", what)])
    if match := CONTROL.search(text):
        line = text.count("\n", 0, match.start()) + 1
        raise Unreadable(line, f"holds the invisible character U+{ord(match[0]):04X}: delete it.")
    if suffix in _WHOLE:
        return _WHOLE[suffix](text)
    if suffix not in _WITH_PROBLEMS:
        known = ", ".join(SUFFIXES)
        raise Problems([Problem("", f"is not a script by its name: it must end in one of {known}.")])
    script, problems = _WITH_PROBLEMS[suffix](text)
    if problems:
        more = [Problem("", f"And {len(problems) - _MAX_PROBLEMS} more problems.")]
        raise Problems(problems[:_MAX_PROBLEMS] + (more if len(problems) > _MAX_PROBLEMS else []))
    return script


def _in(name: str, problem: Problem) -> Problem:
    return Problem(f"{name}: {problem.where}" if problem.where else name, problem.what)
