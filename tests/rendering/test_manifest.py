"""Manifests that are read again: of other versions, changed by hand, or broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from driver.rendering.manifest import Manifest, read_manifest
from story_studio.story.results import MANIFEST

STILL, CLIP, FILM = "a" * 24, "b" * 24, "c" * 24


def manifest(**more: Any) -> dict[str, Any]:
    scene = {"id": "one", "seed": 1, "still": {"key": STILL}, "clip": {"key": CLIP, "seconds": 1.5}}
    return {"project_id": "tale", "status": "complete", "scenes": [scene], "film": {"key": FILM}, **more}


@pytest.mark.parametrize(
    "change",
    [
        {"status": "paused"},
        {"seconds": {"total": 3.0, "between": None}},
        {"seconds": None},
        {"nodes": 5},
        {"title": 3},
        {"warnings": "none"},
        {"model_loads": {"a.safetensors": "twice"}},
        {"added later": {"by": "another version"}},
    ],
    ids=str,
)
def test_a_strange_field_hides_no_result(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps(manifest(**change)))
    found = read_manifest(tmp_path)
    assert found and set(found.keys()) == {STILL, CLIP, FILM}
    assert found.project_id == "tale"


@pytest.mark.parametrize(
    ("part", "value"), [("seed", 1.5), ("settings", None), ("still", 3), ("seconds", "long"), ("id", None)]
)
def test_a_strange_scene_keeps_its_other_results(tmp_path: Path, part: str, value: Any) -> None:
    data = manifest()
    data["scenes"][0][part] = value
    (tmp_path / MANIFEST).write_text(json.dumps(data))
    found = read_manifest(tmp_path)
    assert found and set(found.keys()) >= {CLIP, FILM}


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '"text"', "\x00", "[" * 100_000])
def test_what_is_no_manifest_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    assert read_manifest(tmp_path) is None


def test_an_incomplete_manifest_says_what_is_still_in_use(tmp_path: Path) -> None:
    Manifest(project_id="tale", status="failed", earlier=[]).write(tmp_path)
    assert json.loads((tmp_path / MANIFEST).read_text()) == {
        "project_id": "tale",
        "status": "failed",
        "earlier": [],
    }
