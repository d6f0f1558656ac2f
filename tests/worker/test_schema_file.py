"""The contract as a file: it describes the jobs that are accepted and the answers that are sent."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from driver.paths import ROOT
from driver.worker import schema
from story_studio.story.problems import Problems

SCHEMA = json.loads((ROOT / "workflows" / "endpoint.schema.json").read_text(encoding="utf-8"))
PARTS = SCHEMA["$defs"]
BATCH = {
    "task": "batch",
    "project_id": "story_123",
    "scenes": [
        {"id": "scene_1", "prompt": "A hero", "audio_url": "https://example.com/audio1.mp3"},
        {"id": "scene_2", "prompt": "A dragon", "audio_url": "https://example.com/audio2.mp3"},
    ],
    "image_settings": {"width": 832, "height": 480, "steps": 20},
    "video_settings": {"resolution": "480p", "sample_steps": 20},
}
"""The batch of the endpoint's specification."""
ANSWERS = {
    "ImageAnswer": {"image_url", "generation_time"},
    "VideoAnswer": {"video_url", "generation_time", "resolution"},
    "BatchAnswer": {"project_id", "scenes", "total_time", "images_time", "videos_time"},
    "SceneAnswer": {"id", "image_url", "video_url"},
    "OutputFile": {"filename", "type", "data"},
    "WorkflowAnswer": {"images", "errors", "status"},
}
"""The fields of answers that clients know from the specification and from worker-comfyui."""


def is_valid_for(instance: dict[str, Any], name: str) -> bool:
    """Whether an object is valid for the schema's definition of this name."""
    return Draft202012Validator({"$defs": PARTS, "$ref": f"#/$defs/{name}"}).is_valid(instance)


def test_the_file_is_what_the_module_prints() -> None:
    command = [sys.executable, "-m", "driver.worker.schema"]
    printed = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    ).stdout
    assert (ROOT / "workflows" / "endpoint.schema.json").read_text(encoding="utf-8") == printed


def test_it_is_a_schema_of_jobs() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    validator = Draft202012Validator(SCHEMA)
    assert validator.is_valid(BATCH)
    assert not validator.is_valid({**BATCH, "scenes": []})
    assert not validator.is_valid({"task": "imagine"})


@pytest.mark.parametrize("task", ["image", "video", "batch", "workflow"])
def test_every_task_has_an_example_that_is_a_job(task: str) -> None:
    (example,) = PARTS[f"{task.title()}Job"]["examples"]
    assert is_valid_for(example, f"{task.title()}Job")
    job = schema.parse(example)
    assert (job.task, type(job).__name__) == (task, f"{task.title()}Job")
    # It is valid for no other task.
    other = {name for name in PARTS if name.endswith("Job")} - {type(job).__name__}
    assert not any(is_valid_for(example, name) for name in other)


def test_a_batch_may_use_the_specification_s_names() -> None:
    assert is_valid_for(BATCH, "BatchJob")
    assert schema.parse(BATCH).task == "batch"


SCENES = [
    ({"scene": 1, "prompt": "x", "audio_url": "u"}, True),
    ({"id": "a", "image_url": "x", "audio": "u"}, True),
    ({"id": "a", "audio": "u"}, False),
    ({"id": "a", "prompt": "x"}, False),
    ({"prompt": "x", "audio": "u"}, False),
    ({"id": "a", "prompt": "x", "audio": "u", "audio_url": "u"}, False),
    ({"id": "a", "image": "x", "image_url": "x", "audio": "u"}, False),
    ({"id": "a", "scene": 1, "prompt": "x", "audio": "u"}, False),
    ({"id": "a", "prompt": "x", "text": "words"}, True),
    ({"id": "a", "prompt": "x", "kind": "narrated", "audio": "u"}, True),
    ({"id": "a", "prompt": "x", "kind": "silent"}, False),
    ({"id": "a", "prompt": "x", "kind": "sung", "audio": "u"}, False),
    ({"id": "a", "prompt": "x", "seconds": 2}, True),
    ({"id": "a", "prompt": "x", "seconds": 2, "audio": "u"}, False),
    ({"id": "a", "prompt": "x", "seconds": 2, "kind": "narrated", "text": "words"}, False),
    ({"id": "a", "seconds": 2}, False),
    ({"id": "a", "clip_url": "u", "from": 1.5, "to": 4, "mute": True}, True),
    ({"id": "a", "clip": "u", "clip_url": "u"}, False),
    ({"id": "a", "clip": "u", "seconds": 2}, False),
    ({"id": "a", "clip": "u", "kind": "talking"}, False),
    ({"id": "a", "prompt": "x", "audio": "u", "from": 1}, False),
    ({"id": "a", "prompt": "x", "kind": "clip"}, False),
    ({"id": "a", "prompt": "x", "lines": [{"text": "words"}, {"audio_url": "u"}]}, True),
    ({"id": "a", "prompt": "x", "lines": [{"prompt": "x"}]}, False),
    ({"id": "a", "prompt": "x", "lines": [{"text": "words"}], "audio": "u"}, False),
    ({"id": "a", "prompt": "x", "audio": "u", "establishing": 2}, False),
]


@pytest.mark.parametrize(("scene", "good"), SCENES)
def test_the_schema_and_the_parser_accept_the_same_scenes(scene: dict[str, Any], good: bool) -> None:
    assert is_valid_for(scene, "Scene") == good
    try:
        schema.parse({**BATCH, "scenes": [scene]})
        accepted = True
    except Problems:
        accepted = False
    assert accepted == good


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_have_the_fields_that_clients_know(name: str) -> None:
    assert PARTS[name]["properties"].keys() >= ANSWERS[name]
