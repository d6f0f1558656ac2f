"""What a server remembers beside results, in lines of JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from story_studio.results import noted


def latest(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return entries[-2:]


def test_what_is_too_much_is_left_out_and_lines_that_were_cut_short_are_none(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "notes.jsonl"
    assert noted.entries(path) == []
    for number in range(5):
        noted.note(path, {"number": number}, 1000, latest)
    with path.open("ab") as file:
        file.write(b"[1]\n\xff\n" + b"[" * 100_000 + b'\n{"number": 5}\n{"numb')
    assert [entry["number"] for entry in noted.entries(path)] == [0, 1, 2, 3, 4, 5]
    with path.open("ab") as file:
        file.write(b"\n")
    noted.note(path, {"number": 6}, 1000, latest)
    assert noted.entries(path) == [{"number": 5}, {"number": 6}]
    assert [one.name for one in path.parent.iterdir()] == ["notes.jsonl"]


def test_a_crash_while_much_is_left_out_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    noted.note(path, {"number": 1}, 1000, latest)

    def crash(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        noted.note(path, {"number": 2}, 1, crash)
    assert noted.entries(path) == [{"number": 1}, {"number": 2}]
    assert [one.name for one in tmp_path.iterdir()] == ["notes.jsonl"]
