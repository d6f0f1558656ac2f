"""Keys of results are stable: results of earlier versions and of other ComfyUI versions are found again."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from driver.cli import main
from driver.rendering import dry_run
from driver.rendering.keys import possible_keys
from driver.rendering.prepare import prepare
from story_studio.story.graph import build
from story_studio.story.results import STORE, Kind
from tests.studio import Studio

KEYS = {
    "draft": ("15286429b326da41850c06d7", "67d26568b0fa3004f3739329"),
    "turbo": ("be24ad5960f01b2efd91acba", "486e7b74596ba00e4e3f0bea"),
    "standard": ("be24ad5960f01b2efd91acba", "a8995d507109a59295dd9fc7"),
    "quality": ("b19397bef5bd48aae3dc6646", "c2307fecd7ab034340fcc013"),
}
"""As version 0.1.0 computed them on ComfyUI 0.3.75."""


def write_exact_voice(path: Path) -> None:
    """Writes a fifth of a second that is the same, byte for byte, on every machine."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        samples = (n * 257 % 20_011 - 10_000 for n in range(3200))
        file.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))


@pytest.mark.parametrize("profile", KEYS)
def test_keys_are_those_of_earlier_versions(
    studio: Studio, write_story: Callable[..., Path], tmp_path: Path, profile: str
) -> None:
    story = write_story([0.2], profile=profile)
    write_exact_voice(tmp_path / "voice_1.wav")
    assert studio.render(story, tmp_path / "films") == 0
    manifest = json.loads((tmp_path / "films" / "tale" / "manifest.json").read_text("utf-8"))
    (scene,) = manifest["scenes"]
    assert (scene["still"]["key"], scene["clip"]["key"]) == KEYS[profile]


RECIPE = {
    "1": {"class_type": "PrimitiveString", "inputs": {"value": "lamp"}, "_meta": {"title": "$subject"}},
    "2": {"class_type": "PrimitiveInt", "inputs": {"value": 7}, "_meta": {"title": "A colour"}},
    "3": {
        "class_type": "EmptyImage",
        "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": ["2", 0]},
        "_meta": {"title": "image"},
    },
    "4": {
        "class_type": "SaveImage",
        "inputs": {"images": ["3", 0], "filename_prefix": "x"},
        "_meta": {"title": "$still"},
    },
}
"""It links an input that no shipped recipe links, so its keys differ from version 0.1.0's."""


def test_a_dry_run_finds_the_results_of_version_0_1_0(
    write_story: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.json").write_text(json.dumps(RECIPE))
    story = write_story([0.2], profile="draft", image_settings={"workflow": "own.json"})
    (plan,) = prepare([story], None, tmp_path)
    graph = build([plan])
    (still,) = graph.stills.values()
    _, earlier = possible_keys(graph, plan.contents)[still]
    store = tmp_path / "films" / STORE / Kind.STILL.folder
    store.mkdir(parents=True)
    (store / Kind.STILL.file_name("tale_scene_1", earlier)).touch()
    assert main(["render", str(story), "--dry-run", "--output", str(tmp_path / "films")]) == 0
    assert "scene_1 still: reused" in capsys.readouterr().out
    (forecast,) = dry_run.forecast([plan], tmp_path / "films")
    assert dry_run.forget([forecast], tmp_path / "films") == 1 and not list(store.iterdir())
