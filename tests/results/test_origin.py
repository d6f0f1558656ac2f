"""The graphs in files: read once, and only so many are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from story_studio.results import origin


def still(path: Path, prompt: Any) -> Path:
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", prompt if isinstance(prompt, str) else json.dumps(prompt))
    Image.new("L", (2, 2)).save(path, pnginfo=info)
    return path


def graph(count: int) -> dict[str, Any]:
    return {str(number): {"class_type": "A", "inputs": {}} for number in range(count)}


def test_a_file_is_read_once_until_it_changes(tmp_path: Path) -> None:
    path = still(tmp_path / "a.png", graph(2))
    first = origin.graph_in(path)
    # The same graph, not an equal one.
    assert first == graph(2) and origin.graph_in(path) is first
    still(path, graph(30))
    changed = origin.graph_in(path)
    assert changed == graph(30) and origin.graph_in(path) is changed


def test_only_so_many_nodes_are_kept(tmp_path: Path) -> None:
    part = origin._MOST_NODES // 5
    small = [still(tmp_path / f"{number}.png", graph(part)) for number in range(5)]
    large = still(tmp_path / "large.png", graph(origin._MOST_NODES + 1))
    kept = [origin.graph_in(path) for path in small]
    assert all(origin.graph_in(path) is nodes for path, nodes in zip(small, kept, strict=True))
    # One that is too large is kept alone.
    whole = origin.graph_in(large)
    assert len(whole) == origin._MOST_NODES + 1 and origin.graph_in(large) is whole
    again = origin.graph_in(small[0])
    assert again == kept[0] and again is not kept[0]
    assert list(map(len, origin._graphs.values())) == [part]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[1]", "{", '{"1": {"class_type": "A", "inputs": {"a": NaN}}}', ""]
)
def test_what_is_no_graph_is_none(tmp_path: Path, text: str) -> None:
    path = still(tmp_path / "a.png", text)
    assert origin.graph_in(path) == {} and origin.graph_in(tmp_path / "missing.png") == {}
    some = still(tmp_path / "b.png", {**graph(1), "x": 1, "y": {"class_type": "A"}, "z": {"inputs": {}}})
    assert origin.graph_in(some) == graph(1)
