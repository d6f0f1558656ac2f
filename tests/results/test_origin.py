"""The graphs in files: read once, and only so many are kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from story_studio.results import origin
from story_studio.signal.tags import tags_of

Reads = list[Path]


def still(path: Path, prompt: Any) -> Path:
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", prompt if isinstance(prompt, str) else json.dumps(prompt))
    Image.new("L", (2, 2)).save(path, pnginfo=info)
    return path


def graph(count: int) -> dict[str, Any]:
    return {str(number): {"class_type": "A", "inputs": {}} for number in range(count)}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """The files whose tags are read."""
    found: Reads = []

    def counted(read: Callable[[Path], dict[str, str]]) -> Callable[[Path], dict[str, str]]:
        return lambda path: found.append(path) or read(path)

    monkeypatch.setattr(origin, "tags_of", counted(tags_of))
    monkeypatch.setattr(origin, "_graphs", type(origin._graphs)())
    return found


def test_a_file_is_read_once_until_it_changes(reads: Reads, tmp_path: Path) -> None:
    path = still(tmp_path / "a.png", graph(2))
    assert origin.graph_in(path) == origin.graph_in(path) == graph(2) and reads == [path]
    still(path, graph(30))
    assert origin.graph_in(path) == graph(30) and reads == [path, path]


def test_only_so_many_nodes_are_kept(reads: Reads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "_MOST_NODES", 10)
    small = [still(tmp_path / f"{number}.png", graph(2)) for number in range(5)]
    large = still(tmp_path / "large.png", graph(50))
    for path in (*small, *small):
        origin.graph_in(path)
    assert reads == small
    # One that is too large is kept alone.
    assert len(origin.graph_in(large)) == len(origin.graph_in(large)) == 50 and reads == [*small, large]
    origin.graph_in(small[0])
    assert list(map(len, origin._graphs.values())) == [2]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[1]", "{", '{"1": {"class_type": "A", "inputs": {"a": NaN}}}', ""]
)
def test_what_is_no_graph_is_none(tmp_path: Path, text: str) -> None:
    path = still(tmp_path / "a.png", text)
    assert origin.graph_in(path) == {} and origin.graph_in(tmp_path / "missing.png") == {}
    some = still(tmp_path / "b.png", {**graph(1), "x": 1, "y": {"class_type": "A"}, "z": {"inputs": {}}})
    assert origin.graph_in(some) == graph(1)
