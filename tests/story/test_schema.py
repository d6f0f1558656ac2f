"""The story file: what is accepted, and the messages about what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from story_studio.story import schema
from story_studio.story.problems import Problems

SEED_BATCH = {
    "input": {
        "task": "batch",
        "project_id": "story_123",
        "scenes": [
            {
                "id": "scene_1",
                "prompt": "A hero standing on a mountain at sunrise",
                "audio_url": "https://example.com/audio1.mp3",
            },
            {
                "id": "scene_2",
                "prompt": "The hero meets a friendly dragon",
                "audio_url": "https://example.com/audio2.mp3",
            },
        ],
        "image_settings": {"width": 832, "height": 480, "steps": 20},
        "video_settings": {"resolution": "480p", "sample_steps": 20},
    }
}
SCENE = {"id": "one", "prompt": "A cat", "audio": "cat.mp3"}


def problems_of(data: Any) -> list[tuple[str, str]]:
    with pytest.raises(Problems) as caught:
        schema.parse(data)
    return [(problem.where, problem.what) for problem in caught.value.problems]


@pytest.mark.parametrize("data", [SEED_BATCH, SEED_BATCH["input"]])
def test_the_batch_request_is_a_story(data: dict[str, Any]) -> None:
    parsed = schema.parse(data)
    assert parsed.project_id == "story_123"
    assert [scene.audio for scene in parsed.scenes] == [
        "https://example.com/audio1.mp3",
        "https://example.com/audio2.mp3",
    ]
    assert (parsed.image_settings.width, parsed.image_settings.height, parsed.image_settings.steps) == (
        832,
        480,
        20,
    )
    assert parsed.video_settings.size == (832, 480)
    assert parsed.video_settings.sample_steps == 20


def test_a_scene_may_be_numbered() -> None:
    parsed = schema.parse({"scenes": [{"scene": 1, "prompt": "A hero", "audio_url": "a.mp3"}]})
    assert parsed.scenes[0].id == "scene_1"


def test_all_problems_are_reported_together_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "titel: x\n"
        "project_id: ../etc\n"
        "scenes:\n"
        "  - id: one\n"
        "    promt: hi\n"
        "    audio: a.mp3\n"
        "video_settings:\n"
        "  resolution: 4k\n"
        "image_settings: {width: 833}\n"
    )
    with pytest.raises(Problems) as caught:
        schema.load(path)
    text = str(caught.value)
    assert "titel (line 1): unknown key, did you mean 'title'?" in text
    assert "project_id (line 2): '../etc' is not a valid id" in text
    assert "scenes[0].promt (line 5): unknown key, did you mean 'prompt'?" in text
    assert (
        "video_settings.resolution (line 8): '4k' is not a resolution: use 480p, 720p or WIDTHxHEIGHT."
        in text
    )
    assert "image_settings.width (line 9): '833' is not valid: input should be a multiple of 16." in text


def test_a_missing_key_is_explained() -> None:
    assert problems_of({"scenes": [{"id": "one", "prompt": "x"}]}) == [
        (
            "scenes[0]",
            "needs a voice: `audio` (a recording) or `text` (to be spoken); or `seconds` for a silent scene, "
            "or your own `clip`.",
        )
    ]
    assert problems_of({"scenes": [{"prompt": "x", "audio": "x"}]})[0] == (
        "scenes[0].id",
        "is missing: Letters, digits, `_`, `.` and `-`; at most 64.",
    )
    assert "needs a `prompt`" in problems_of({"scenes": [{"id": "one", "audio": "x"}]})[0][1]
    assert problems_of({"scenes": []})[0][0] == "scenes"


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "-x", "a" * 65, "ä", "", "a b", "story_studio"])
def test_hostile_ids_are_refused(name: str) -> None:
    assert problems_of({"project_id": name, "scenes": [SCENE]})[0][0] == "project_id"


def test_ids_that_would_share_a_file_are_refused() -> None:
    problems = problems_of({"scenes": [SCENE, {**SCENE, "id": "ONE"}]})
    assert "used more than once" in problems[0][1]


@pytest.mark.parametrize("text", ["[1, 2", "just text", "- a\n- b", "\x00", "a: &a [*a]"])
def test_other_text_is_refused_without_a_traceback(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(Problems):
        schema.load(path)


def test_json_that_is_not_yaml_is_read(tmp_path: Path) -> None:
    path = tmp_path / "My story!.json"
    path.write_text(json.dumps({"scenes": [SCENE]}, indent="\t"))
    assert schema.load(path).project_id == "My-story"


def test_seeds_depend_on_the_scene_and_not_its_position() -> None:
    one, two = {**SCENE}, {**SCENE, "id": "two"}
    forward, backward = schema.parse({"scenes": [one, two]}), schema.parse({"scenes": [two, one]})
    assert forward.seed_of(forward.scenes[0]) == backward.seed_of(backward.scenes[1])
    assert forward.seed_of(forward.scenes[0]) != forward.seed_of(forward.scenes[1])
    assert schema.parse({"seed": 1, "scenes": [one]}).seed_of(forward.scenes[0]) != forward.seed_of(
        forward.scenes[0]
    )
