"""Stories of nothing but words: their voices are made before the render, here or by a recipe."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import pytest
import yaml

from driver.cli import main
from driver.terminal import FAILED, OK, PARTIAL
from tests.studio import Studio

RECIPE: dict[str, Any] = {
    "1": {"class_type": "PrimitiveString", "inputs": {"value": ""}, "_meta": {"title": "$text"}},
    "2": {"class_type": "PrimitiveString", "inputs": {"value": "1"}, "_meta": {"title": "$voice"}},
    "3": {"class_type": "PrimitiveFloat", "inputs": {"value": 1.0}, "_meta": {"title": "$speed"}},
    "4": {"class_type": "TestSpeak", "inputs": {"text": ["1", 0], "pitch": ["2", 0], "speed": ["3", 0]}},
    "5": {"class_type": "PreviewAudio", "inputs": {"audio": ["4", 0]}, "_meta": {"title": "$audio"}},
}


class Words:
    """A story of texts in draft, rendered on the session's server."""

    def __init__(self, folder: Path, studio: Studio, project: str, *scenes: dict[str, Any], **more: Any):
        self.path, self.output, self._studio = folder / "story.yaml", studio.server.output, studio
        self.folder = self.output / project
        (folder / "tts.json").write_text(json.dumps(RECIPE))
        story = {
            "project_id": project,
            "profile": "draft",
            "language": "en",
            "scenes": [
                {"id": f"s{number}", "prompt": "a lamp", **scene} for number, scene in enumerate(scenes)
            ],
            "video_settings": {"resolution": "128x96"},
            **more,
        }
        self.path.write_text(yaml.safe_dump(story, sort_keys=False))

    def render(self, *more: str) -> int:
        return self._studio.render(self.path, self.output, *more)

    @property
    def scenes(self) -> list[dict[str, Any]]:
        return json.loads((self.folder / "manifest.json").read_text())["scenes"]


def seconds_of(path: Path) -> float:
    with wave.open(str(path)) as file:
        return file.getnframes() / file.getframerate()


def test_words_become_a_film(studio: Studio, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    scenes = {"text": "Who is there?"}, {"text": "Nobody came back.", "kind": "narrated"}
    words = Words(tmp_path, studio, "words", *scenes)
    assert words.render("--dry-run") == OK
    assert not list(studio.server.output.glob("story_studio/voices/words*"))
    assert words.render() == OK
    voices = [scene["voice"] for scene in words.scenes]
    assert [(voice["file"], voice["reused"]) for voice in voices] == [
        ("s0_voice.wav", False),
        ("s1_voice.wav", False),
    ]
    for scene, voice in zip(words.scenes, voices, strict=True):
        seconds = seconds_of(words.folder / voice["file"])
        assert 0.6 < seconds < 3 and scene["clip"]["seconds"] == pytest.approx(seconds, abs=0.1)
    captions = (words.folder / "film.en.srt").read_text()
    assert "Who is there?" in captions and "Nobody came back." in captions
    assert words.render() == OK
    assert all(scene[kind]["reused"] for scene in words.scenes for kind in ("voice", "still", "clip"))
    capfd.readouterr()
    assert main(["takes", "--output", str(words.output)]) == OK
    lines = [
        line for line in capfd.readouterr().out.splitlines() if line.startswith("voice") and "words" in line
    ]
    assert len(lines) == 2 and all("used by words" in line for line in lines)


def test_a_recipe_speaks_on_the_server_and_its_failures_affect_one_scene(
    studio: Studio, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {"workflow": "tts.json", "voice": "2", "speed": 2.0}
    texts = "abcdefghijklmnopqrstuvwxyz" * 2, "fail", "zyxwvutsrqponmlkjihgfedcba"
    words = Words(tmp_path, studio, "recipe", *({"text": text} for text in texts), voice_settings=settings)
    assert words.render("--dry-run") == OK
    assert "3 voices are still to be made by tts.json: about 4 s, by the texts." in capfd.readouterr().err
    assert main(["graph", str(words.path), "--inputs", str(tmp_path)]) == FAILED
    assert "voice_settings.workflow: speaks on a ComfyUI" in capfd.readouterr().err
    assert words.render() == PARTIAL
    first, failed, last = words.scenes
    assert "TestSpeak: no such voice" in failed["error"] and "voice" not in failed
    # 52 letters of 0.025 s, and 0.1 s around them.
    assert seconds_of(words.folder / "s0_voice.wav") == pytest.approx(1.5, abs=0.05)
    assert seconds_of(words.folder / "s2_voice.wav") == pytest.approx(0.85, abs=0.05)
    assert words.render() == PARTIAL
    assert [scene["voice"]["key"] for scene in words.scenes if "voice" in scene] == [
        scene["voice"]["key"] for scene in (first, last)
    ]
    assert words.scenes[0]["voice"]["reused"] and words.scenes[0]["clip"]["reused"]


def test_a_recipe_whose_nodes_the_server_lacks_is_a_problem(
    studio: Studio, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = Words(tmp_path, studio, "lacking", {"text": "Hello."}, voice_settings={"workflow": "tts.json"})
    recipe = {**RECIPE, "4": {**RECIPE["4"], "class_type": "TestSpeek"}}
    (tmp_path / "tts.json").write_text(json.dumps(recipe))
    assert words.render() == FAILED
    assert "voice_settings.workflow: the server has no node TestSpeek, did you mean" in capfd.readouterr().err
