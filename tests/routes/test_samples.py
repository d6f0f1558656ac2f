"""The examples' files come into the input folder, and nothing there is written over."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from driver.comfy.process import PACK
from driver.paths import ROOT
from tests.studio import Studio
from workflows.canvas import read_workflow

EXAMPLES = sorted((PACK / "example_workflows").glob("*.json"))
SAMPLES = PACK / "samples"


def test_missing_samples_are_copied(studio: Studio) -> None:
    folder = studio.server.workspace / "input"
    names = sorted(path.name for path in SAMPLES.glob("story_studio_*"))
    for name in names:
        (folder / name).unlink(missing_ok=True)
    (folder / names[0]).write_bytes(b"the user's own")

    assert copied(studio) == names[1:]
    assert [(folder / name).read_bytes() for name in names[1:]] == [
        (SAMPLES / name).read_bytes() for name in names[1:]
    ]
    assert (folder / names[0]).read_bytes() == b"the user's own"
    assert copied(studio) == []

    (folder / names[0]).unlink()
    assert copied(studio) == names[:1]


def copied(studio: Studio) -> list[str]:
    """The files that the route says it has copied."""
    response = requests.post(f"{studio.url}/story_studio/samples", json={}, timeout=60)
    response.raise_for_status()
    return response.json()["added"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_names_samples_only(path: Path) -> None:
    graph = read_workflow(path)
    for node in graph["nodes"]:
        if node["type"] in ("LoadAudio", "LoadImage"):
            assert (SAMPLES / node["widgets_values"][0]).is_file(), node["title"]


@pytest.mark.parametrize("name", ["keeper", "sailor", "morning"])
def test_the_voices_are_those_of_the_demo(name: str) -> None:
    demo = ROOT / "workflows" / "demo" / "voices" / f"{name}.mp3"
    assert demo.read_bytes() == (SAMPLES / f"story_studio_{name}.mp3").read_bytes()
