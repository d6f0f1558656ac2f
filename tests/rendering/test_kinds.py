"""A story with every kind of scene, through the real server: its film, and what a render would make again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml

from driver.cli import main
from driver.terminal import OK
from story_studio.media.probe import probe
from tests.rendering.test_clips import make_clip
from tests.studio import Studio
from tests.voices import write_voice

Forecast = Callable[[], list[str]]


def _story(folder: Path) -> dict[str, Any]:
    write_voice(folder / "a.wav", 0.6)
    write_voice(folder / "b.wav", 0.4, 220)
    make_clip(folder / "shot.mp4", 1.5)
    scenes = [
        {"id": "talking", "prompt": "{mara} at the window", "audio": "a.wav", "character": "mara"},
        {"id": "narrated", "prompt": "The sea", "audio": "b.wav", "kind": "narrated"},
        {"id": "silent", "prompt": "The lamp", "seconds": 0.5},
        {"id": "own", "clip": "shot.mp4", "from": 0.5, "to": 1.25},
        {"id": "over", "clip": "shot.mp4", "audio": "b.wav", "title": "Over"},
        {
            "id": "words",
            "prompt": "the lamp room",
            "establishing": 0.5,
            "lines": [
                {"character": "mara", "text": "Who is there?", "audio": "a.wav"},
                {"character": "tom", "text": "Me.", "audio": "b.wav"},
                {"character": "mara", "text": "Good.", "audio": "b.wav"},
            ],
        },
    ]
    return {
        "project_id": "every-kind",
        "profile": "draft",
        "characters": {"mara": {"description": "a keeper of seventy"}, "tom": {"description": "a fisherman"}},
        "scenes": scenes,
        "video_settings": {"resolution": "128x96"},
        "film": {"opening": False},
    }


@pytest.fixture(scope="module")
def rendered(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("kinds")
    story = _story(folder)
    (folder / "story.yaml").write_text(yaml.safe_dump(story, sort_keys=False))
    assert studio.render(folder / "story.yaml", studio.server.output) == OK
    return story, folder


@pytest.fixture
def forecast(
    studio: Studio, rendered: tuple[dict[str, Any], Path], capsys: pytest.CaptureFixture[str]
) -> Forecast:
    story, folder = rendered

    def run() -> list[str]:
        path = folder / "story.yaml"
        path.write_text(yaml.safe_dump(story, sort_keys=False))
        capsys.readouterr()
        more = ["--dry-run", "--server", studio.url, "--output", str(studio.server.output)]
        assert main(["render", str(path), *more]) == OK
        return capsys.readouterr().out.splitlines()[:-1]

    return run


LENGTHS = {
    "talking": 0.6,
    "narrated": 0.4,
    "silent": 0.5,
    "own": 0.75,
    "over": 0.4,
    "words.0": 0.5,
    "words.1": 0.6,
    "words.2": 0.4,
    "words.3": 0.4,
}


def test_every_kind_of_scene_is_in_the_film_at_its_length(
    studio: Studio, rendered: tuple[dict[str, Any], Path]
) -> None:
    folder = studio.server.output / "every-kind"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["status"] == "complete", [scene.get("error") for scene in manifest["scenes"]]
    assert [scene["id"] for scene in manifest["scenes"]] == list(LENGTHS)
    kinds = [scene["kind"] for scene in manifest["scenes"]]
    assert kinds == ["talking", "narrated", "silent", "clip", "clip", "silent", *["talking"] * 3]
    for scene in manifest["scenes"]:
        # A frame, and the padding of AAC.
        assert scene["clip"]["seconds"] == pytest.approx(LENGTHS[scene["id"]], abs=0.13), scene["id"]
    speakers = [scene.get("character", "") for scene in manifest["scenes"]]
    assert speakers == ["mara", "", "", "", "", "", "mara", "tom", "mara"]
    film = probe(folder / "film.mp4")
    pauses = sum(shot["frames"] - shot["clip_frames"] for shot in manifest["film"]["cut"]["shots"])
    whole = sum(LENGTHS.values()) + pauses / 16
    assert film.video_seconds == pytest.approx(whole, abs=len(LENGTHS) / 16)
    assert [chapter[2] for chapter in film.chapters] == [
        "talking",
        "narrated",
        "silent",
        "own",
        "Over",
        "words",
    ]
    # One speaker of a dialogue has one picture.
    keys = [scene["still"]["key"] for scene in manifest["scenes"]]
    assert keys[6] == keys[8] != keys[7]


def test_what_is_rendered_is_reused_and_what_changed_is_named(
    studio: Studio, rendered: tuple[dict[str, Any], Path], forecast: Forecast
) -> None:
    story, folder = rendered
    lines = forecast()
    assert all(line.endswith(": reused") for line in lines), lines
    assert studio.render(folder / "story.yaml", studio.server.output) == OK
    manifest = json.loads((studio.server.output / "every-kind" / "manifest.json").read_text())
    assert all(scene[kind]["reused"] for scene in manifest["scenes"] for kind in ("still", "clip"))
    scenes = story["scenes"]
    scenes[0]["prompt"], scenes[2]["seconds"] = "{mara} at the door", 0.75
    scenes[3]["to"] = 1.0
    make_clip(folder / "other.mp4", 1.0)
    scenes[4]["clip"] = "other.mp4"
    made = {line.partition(":")[0]: line.partition("made, ")[2] for line in forecast() if ": made" in line}
    assert made["silent clip"] == "seconds (0.5 -> 0.75)"
    assert made["own clip"] == made["own still"] == "to (1.25 -> 1.0)"
    assert made["over clip"] == made["over still"] == "its own clip changed"
    assert made["talking clip"] == "its still changed"
    assert set(made) == {
        *(f"{scene} {kind}" for scene in ("own", "over", "talking") for kind in ("still", "clip")),
        "silent clip",
        "film",
    }


def test_every_kind_of_scene_is_made_by_models_that_are_loaded_once(studio: Studio, tmp_path: Path) -> None:
    story = _story(tmp_path)
    story |= {"project_id": "every-model", "profile": "turbo", "style": "in oil"}
    story["image_settings"] = {"steps": 1, "width": 64, "height": 64}
    story["video_settings"] = {
        "resolution": "64x64",
        "sample_steps": 2,
        "narrated_workflow": "wan22_i2v_clip.json",
    }
    words = story["scenes"][5]
    words["lines"] = words["lines"][:2]
    (tmp_path / "story.yaml").write_text(yaml.safe_dump(story, sort_keys=False))
    studio.comfy.free()
    studio.loads()
    assert studio.render(tmp_path / "story.yaml", tmp_path / "films") == OK
    folder = tmp_path / "films" / "every-model"
    manifest = json.loads((folder / "manifest.json").read_text())
    lengths = {scene: seconds for scene, seconds in LENGTHS.items() if scene != "words.3"}
    assert [scene["id"] for scene in manifest["scenes"]] == list(lengths)
    for scene in manifest["scenes"]:
        path = folder / scene["clip"]["file"]
        assert scene["clip"]["seconds"] == pytest.approx(lengths[scene["id"]], abs=0.13), scene["id"]
        assert "draft" not in probe(path).metadata
        # No lips move where the model of moving lips has no part.
        workflow = json.loads(probe(path).metadata["prompt"])
        classes = {node["class_type"] for node in workflow.values()}
        is_talking = scene["kind"] == "talking"
        assert ("StoryStudio_TalkingVideo" in classes) == is_talking
        assert ("WanImageToVideo" in classes) == (scene["kind"] in ("narrated", "silent"))
        assert (_loudest(path) < 1e-3) == (scene["kind"] == "silent")
    files = [load["file"] for load in studio.loads()]
    # Load VAE is a stock node, which shares nothing with others; the file is small.
    others = [file for file in files if "vae" not in file]
    assert len(others) == len(set(others)) and sum("i2v" in file for file in others) == 2
    assert manifest["film"]["seconds"] == pytest.approx(sum(lengths.values()), abs=1)


def _loudest(path: Path) -> float:
    """The largest sample of a clip's sound."""
    with av.open(str(path)) as clip:
        return max(float(np.abs(frame.to_ndarray()).max()) for frame in clip.decode(audio=0))
