"""Tables, CSV: a scene for each row; the first row names the columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from ..problems import Problem, Problems
from .parts import Passage, Script, one_line
from .speakers import is_narrator, spoken

_DELIMITERS = ",;\t|"
_COLUMNS: dict[str, tuple[str, ...]] = {
    "id": ("id", "scene", "scene id", "scene number", "nr", "no", "number", "#", "shot"),
    "prompt": ("prompt", "image prompt", "visual", "visuals", "description", "what we see", "shown"),
    "text": (
        "text",
        "narration",
        "dialogue",
        "dialog",
        "line",
        "words",
        "script",
        "said",
        "caption",
        "voiceover",
    ),
    "speaker": ("speaker", "character", "who", "name", "role"),
    "audio": ("audio", "audio url", "audio file", "recording", "voice", "voice file", "sound"),
    "image": ("image", "image url", "image file", "picture", "photo", "still"),
    "title": ("title", "chapter", "heading"),
    "seconds": ("seconds", "duration", "length", "sec", "secs"),
    "kind": ("kind", "type"),
    "clip": ("clip", "clip url", "clip file", "video", "video file", "video url"),
    "from": ("from", "in", "start"),
    "to": ("to", "out", "end"),
    "mute": ("mute", "muted"),
    "video_prompt": ("video prompt", "motion", "movement", "action"),
    "seed": ("seed",),
    "transition": ("transition",),
    "pause_after": ("pause after", "pause"),
    "music": ("music",),
}
"""The columns of a table, by their usual names in lower case; `_` counts as a space."""
_BY_NAME = {name: column for column, names in _COLUMNS.items() for name in names}
_KINDS = {"narration": "narrated", "narrator": "narrated", "voiceover": "narrated", "voice-over": "narrated"}
_KINDS |= {"vo": "narrated", "dialogue": "talking", "silence": "silent", "b-roll": "silent"}
_NUMBERS = ("seconds", "from", "to", "pause_after")
_YES, _NO = ("yes", "true", "1", "x", "on"), ("no", "false", "0", "off")
_TIME = re.compile(
    r"(?:(\d{1,3}):)?(?:(\d{1,2}):)?(\d{1,6}(?:[.,]\d{1,6})?) ?(?:s|sec|seconds)?", re.IGNORECASE
)


def read_table(text: str) -> tuple[Script, list[Problem]]:
    """The script in a table, and what is wrong with its rows, each with its line.

    Rows after each other with the same id are lines of one dialogue.

    Raises:
        Problems: it is no table of scenes.
    """
    rows = _rows(text, _delimiter(text))
    line, header = next(rows, (1, []))
    columns = [_BY_NAME.get(_plain(name)) for name in header]
    if not {"prompt", "text", "audio", "clip", "image"} & {*columns}:
        known = ", ".join(_COLUMNS)
        what = f"the first row names the columns: at least prompt, text, audio, image or clip, of {known}."
        raise Problems([Problem(f"line {line}", what)])
    if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
        what = f"more than one column is read as {' and '.join(twice)}: rename one, or delete it."
        raise Problems([Problem(f"line {line}", what)])
    script, problems = Script(), list[Problem]()
    for name, column in zip(header, columns, strict=True):
        if column is None and name.strip():
            script.notes.append(f"line {line}: the column {name.strip()[:40]!r} has no place in a story.")
    for line, row in rows:
        cells = {
            column: cell.strip()
            for column, cell in zip(columns, row, strict=False)
            if column and cell.strip()
        }
        if any(cell.strip() for cell in row[len(columns) :]):
            what = (
                "the row has more cells than the first one: put text that has the delimiter in it in quotes."
            )
            problems.append(Problem(f"line {line}", what))
        elif cells:
            _add(script, line, cells, problems)
    return script, problems


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows with the line that each begins in. Raises Problems: the table is broken there."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            if "unexpected end" in str(error):
                what = "a quote is opened in the row that begins here and never closed: close it."
            elif "field limit" in str(error):
                what = "a cell is longer than 131,072 characters: is a quote missing?"
            else:
                what = 'text follows a closing quote: write "" for a quote inside of quotes.'
            raise Problems([Problem(f"line {line}", what)]) from None
        if row is None:
            return
        if any(cell.strip() for cell in row):
            yield line, row
        line = reader.line_num + 1


def _delimiter(text: str) -> str:
    """The delimiter that makes the most columns of the first row."""
    first = next((line for line in text.split("\n") if line.strip()), "")

    def known(delimiter: str) -> int:
        return sum(_plain(name) in _BY_NAME for name in first.split(delimiter))

    return max(_DELIMITERS, key=lambda delimiter: (known(delimiter), first.count(delimiter)))


def _plain(name: str) -> str:
    return one_line(re.sub(r"[_\"'\-]", " ", name)).lower() or name.strip()


def _add(script: Script, line: int, cells: dict[str, str], problems: list[Problem]) -> None:
    last = script.passages[-1] if script.passages else None
    text, speaker = cells.pop("text", ""), cells.pop("speaker", "")
    said = [spoken(text, line, speaker)] if text else []
    scene_id = cells.pop("id", "")
    is_line = {*cells} <= {"prompt", "title", "video_prompt"} and bool(said)
    if is_line and last and last.said and scene_id and scene_id == last.id and "audio" not in last.fields:
        last.shown = last.shown or cells.get("prompt", "")
        if cells.keys() - {"prompt"} or cells.get("prompt", last.shown) != last.shown:
            what = (
                "a dialogue has the prompt, title and motion of its first row; those of others are left out."
            )
            script.leave_out(line, what)
        last.said += said
        return
    passage = Passage(
        line, said, cells.pop("prompt", ""), title=cells.pop("title", ""), id=scene_id, is_prompt=True
    )
    for name, cell in cells.items():
        value = _value(name, cell)
        if value is None:
            problems.append(Problem(f"line {line}", _wrong(name, cell)))
        else:
            passage.fields[name] = value
    if scene_id and last and scene_id == last.id:
        script.leave_out(
            line,
            "rows of one dialogue have a text and no recording, file or setting of their own; such rows are "
            "scenes of their own.",
        )
    if speaker and is_narrator(speaker):
        if {"audio", "kind", "clip"} & {*passage.fields} == {"audio"}:
            passage.fields["kind"] = "narrated"
    elif speaker and not said:
        passage.fields["speaker"] = speaker
    if "seconds" in passage.fields and (said or {"audio", "clip"} & {*passage.fields}):
        del passage.fields["seconds"]
        script.leave_out(line, "the length of scenes with a voice or a clip is that of the voice or clip.")
    script.passages.append(passage)


def _value(name: str, cell: str) -> Any:
    """A cell as the value of a scene's field; None if it cannot be one."""
    if name == "kind":
        return _KINDS.get(cell.lower(), cell.lower())
    if name == "transition":
        return cell.lower()
    if name in ("mute", "music"):
        return True if cell.lower() in _YES else False if cell.lower() in _NO else None
    if name == "seed":
        return int(cell) if cell.isdecimal() and cell.isascii() and len(cell) < 20 else None
    if name not in _NUMBERS:
        return cell
    if not (match := _TIME.fullmatch(cell)):
        return None
    first, second, seconds = match.groups()
    hours, minutes = (first, second) if second else (None, first)
    value = int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds.replace(",", "."))
    return int(value) if value == int(value) else round(value, 3)


def _wrong(name: str, cell: str) -> str:
    how = (
        "yes or no"
        if name in ("mute", "music")
        else "a whole number"
        if name == "seed"
        else "seconds, like 4.5"
    )
    return f"{cell[:40]!r} in the column {name} is not {how}: correct it, or leave it empty."
