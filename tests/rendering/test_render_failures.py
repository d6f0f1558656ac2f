"""What a render makes of a story whose scenes or server fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from driver.cli import main
from driver.terminal import FAILED, PARTIAL
from story_studio.media.probe import probe
from story_studio.story.recipes import FOLDER
from tests.recipes import read_titled
from tests.studio import Studio

WriteStory = Callable[..., Path]


def test_a_failure_affects_only_its_scene(
    studio: Studio,
    write_story: WriteStory,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The stills of two scenes pass through a node that raises for one of them."""
    recipe = json.loads((FOLDER / "title_card_still.json").read_text())
    recipe["90"] = {
        "class_type": "TestRaise",
        "inputs": {"image": ["6", 0], "message": "the lamp went out", "when": ["1", 0]},
    }
    recipe["7"]["inputs"]["images"] = ["90", 0]
    (tmp_path / "own.json").write_text(json.dumps(recipe))
    path = write_story([0.5, 0.5], "draft", image_settings={"workflow": "own.json"})
    story = yaml.safe_load(path.read_text())
    story["scenes"][0]["prompt"] = "fail here"
    path.write_text(yaml.safe_dump(story))
    assert studio.render(path, tmp_path / "output") == PARTIAL
    assert "scene_1 failed: the lamp went out" in capsys.readouterr().err
    manifest = json.loads((tmp_path / "output" / "tale" / "manifest.json").read_text())
    assert manifest["status"] == "partial"
    assert "the lamp went out" in manifest["scenes"][0]["error"]
    assert manifest["scenes"][1]["clip"]["file"] == "scene_2_video.mp4"
    assert manifest["film"] is None
    story["film"] = {"partial": True}
    path.write_text(yaml.safe_dump(story))
    assert studio.render(path, tmp_path / "output") == PARTIAL
    assert probe(tmp_path / "output" / "tale" / "film.mp4").frames == 8


def test_a_film_lacks_a_scene_whose_clip_it_cannot_use(
    studio: Studio, write_story: WriteStory, tmp_path: Path
) -> None:
    """The frames recipe raises for the first clip that comes."""
    recipe = json.loads((FOLDER / "upscale_model_frames.json").read_text())
    texts = {"message": str(tmp_path / "raised"), "when": "fail once"}
    recipe["3"] = {"class_type": "TestRaise", "inputs": {"image": ["1", 0], **texts}}
    del recipe["2"]
    (tmp_path / "own.json").write_text(json.dumps(recipe))
    film = {"upscale": "own.json", "partial": True, "captions": False}
    path = write_story(
        [0.3, 0.4],
        image_settings={"workflow": str(FOLDER / "title_card_still.json")},
        video_settings={"workflow": str(FOLDER / "animatic_clip.json")},
        project_id="unused",
        film=film,
    )
    assert studio.render(path, tmp_path / "output") == PARTIAL
    manifest = json.loads((tmp_path / "output" / "unused" / "manifest.json").read_text())
    first, second = manifest["scenes"]
    assert manifest["status"] == "partial" and first["clip"] and "raised" in first["error"]
    assert second["master"] and [shot["scene"] for shot in manifest["film"]["cut"]["shots"]] == ["scene_2"]


def test_missing_nodes_and_models_are_named_before_anything_is_rendered(
    studio: Studio, write_story: WriteStory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = read_titled("z_image_turbo_still")
    recipe["model"]["inputs"]["unet_name"] = "z_image_lost.safetensors"
    recipe["Draw"]["class_type"] = "KSamplerr"
    (tmp_path / "own.json").write_text(json.dumps(recipe))
    path = write_story([0.5], "draft", image_settings={"workflow": "own.json"})
    studio.samples()
    assert studio.render(path, tmp_path / "output") == FAILED
    stderr = capsys.readouterr().err
    assert "KSamplerr" in stderr
    assert "z_image_lost.safetensors" in stderr
    assert studio.samples() == []
    assert not (tmp_path / "output" / "tale").exists()


def test_a_server_that_does_not_answer(write_story: WriteStory, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", str(write_story([0.5])), "--server", "http://127.0.0.1:9"]) == FAILED
    assert "does not answer" in capsys.readouterr().err
