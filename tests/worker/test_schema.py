"""The API's contract: documented requests are jobs; anything else is answered with readable errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driver.worker import schema
from story_studio.story.problems import Problems

IMAGE = {
    "task": "image",
    "prompt": "A professional businesswoman in a modern office, portrait style",
    "negative_prompt": "blurry, low quality",
    "width": 832,
    "height": 480,
    "steps": 20,
}
VIDEO = {
    "task": "video",
    "image": "https://example.com/StoryStudio/img_123.png",
    "audio": "https://example.com/StoryStudio/audio_123.mp3",
    "prompt": "Person speaking naturally with subtle expressions",
    "resolution": "480p",
    "sample_steps": 20,
}
BATCH = {
    "task": "batch",
    "project_id": "story_123",
    "scenes": [
        {"id": "scene_1", "prompt": "A hero on a mountain", "audio_url": "https://example.com/audio1.mp3"},
        {"scene": 2, "prompt": "A friendly dragon", "audio_url": "https://example.com/audio2.mp3"},
    ],
    "image_settings": {"width": 832, "height": 480, "steps": 20},
    "video_settings": {"resolution": "480p", "sample_steps": 20},
}
WORKFLOW = {
    "workflow": {"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}},
    "images": [{"name": "a.png", "image": "data:image/png;base64,AAAA"}],
}


@pytest.mark.parametrize(
    ("job_input", "kind"),
    [(IMAGE, "image"), (VIDEO, "video"), (BATCH, "batch"), (WORKFLOW, "workflow")],
)
def test_the_documented_requests_are_jobs(job_input: dict[str, Any], kind: str) -> None:
    job = schema.parse(job_input)
    assert job.task == kind
    for name in job_input.keys() - {
        "scenes",
        "image_settings",
        "video_settings",
        "workflow",
        "images",
        "task",
    }:
        assert getattr(job, name) == job_input[name]


def test_a_job_without_a_task_is_a_video() -> None:
    without = {name: value for name, value in VIDEO.items() if name != "task"}
    assert schema.parse(without) == schema.parse(VIDEO)


def test_a_batch_makes_a_film_only_on_request() -> None:
    assert schema.parse(BATCH).film is None  # pyright: ignore[reportAttributeAccessIssue]
    wanted = schema.parse({**BATCH, "film": True})
    assert isinstance(wanted, schema.BatchJob) and wanted.film and wanted.film.join == "cut"
    faded = schema.parse({**BATCH, "film": {"join": "crossfade"}})
    assert isinstance(faded, schema.BatchJob) and faded.film and faded.film.join == "crossfade"
    assert [scene.id for scene in wanted.scenes] == ["scene_1", "scene_2"]


def test_a_retried_job_has_the_same_seed() -> None:
    job = schema.parse(IMAGE)
    assert isinstance(job, schema.ImageJob)
    assert schema.seed_of(job, "job-1") == schema.seed_of(job, "job-1") != schema.seed_of(job, "job-2")
    seeded = schema.parse({**IMAGE, "seed": 5})
    assert isinstance(seeded, schema.ImageJob) and schema.seed_of(seeded, "job-1") == 5


@pytest.mark.parametrize(
    ("job_input", "messages"),
    [
        (None, ["input: a job is an object"]),
        ({"task": "imagine", "prompt": "x"}, ["task: unknown task 'imagine', did you mean 'image'?"]),
        ({"task": ["image"]}, ["task: unknown task \"['image']\""]),
        ({"task": "image", "idempotency_key": "a/b"}, ["idempotency_key: 'a/b' is not a valid id"]),
        (
            {"image": "x", "image_url": "x", "audio_url": "x"},
            ["image_url: is another name of `image`, which is there too: keep one of them."],
        ),
        (
            {**IMAGE, "widht": 8, "height": 481},
            ["widht: unknown key, did you mean 'width'?", "height: '481' is not valid"],
        ),
        ({**VIDEO, "resolution": "480"}, ["resolution: '480' is not a resolution"]),
        ({**VIDEO, "audio": ""}, ["audio: '' is not valid"]),
        (
            {**BATCH, "scenes": [{"prompt": "x"}], "film": {"jion": "cut"}},
            ["scenes[0].id: is missing", "did you mean 'join'?"],
        ),
        (
            {**BATCH, "scenes": [{"id": "a", "prompt": "x"}]},
            ["scenes[0]: needs a voice: `audio` (a recording) or `text` (to be spoken)"],
        ),
        ({**BATCH, "project_id": "../../etc"}, ["project_id: '../../etc' is not a valid id"]),
        ({**WORKFLOW, "workflow": {}}, ["workflow: "]),
        ({**WORKFLOW, "workflow": {"1": {"inputs": []}}}, ["workflow.1.class_type: is missing", "1.inputs"]),
        (
            {**WORKFLOW, "workflow": {"last_node_id": 3, "nodes": [], "links": []}},
            ["export it with Workflow > Export (API)."],
        ),
        (
            {**WORKFLOW, "workflow": {"1": {"class_type": "A", "inputs": {"x": float("nan")}}}},
            ["is not JSON"],
        ),
        ({**WORKFLOW, "images": [{"name": "", "image": "x"}]}, ["images[0].name"]),
        ({**WORKFLOW, "images": [{"name": "a", "image": "x"}] * 2}, ["images: the names a are used more"]),
        ('{"workflow": {}}', ["workflow: "]),
        ("no JSON", ["input: a job is an object"]),
    ],
)
def test_all_problems_are_reported_with_their_location(job_input: Any, messages: list[str]) -> None:
    with pytest.raises(Problems) as caught:
        schema.parse(job_input)
    for message in messages:
        assert message in str(caught.value)


def test_requests_of_worker_comfyui_s_clients_are_accepted() -> None:
    node = {"class_type": "KSampler", "inputs": {"model": ["4", 0], "seed": 2**63}, "_meta": {"title": "A"}}
    job = schema.parse(json.dumps({"workflow": {"3": node}, "images": None}))
    assert isinstance(job, schema.WorkflowJob)
    assert job.workflow["3"].model_dump() == node
    assert job.images is None


def test_a_comfy_org_key_is_not_revealed() -> None:
    job = schema.parse({**WORKFLOW, "comfy_org_api_key": "comfyui-secret"})
    assert isinstance(job, schema.WorkflowJob) and job.comfy_org_api_key
    assert job.comfy_org_api_key.get_secret_value() == "comfyui-secret"
    assert "comfyui-secret" not in repr(job) + job.model_dump_json()
    with pytest.raises(Problems) as caught:
        schema.parse({**WORKFLOW, "comfy_org_api_key": ["comfyui-secret"]})
    assert "comfy_org_api_key: is not text" in str(caught.value)
    assert "comfyui-secret" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted(
    {*IMAGE, *VIDEO, *BATCH, *WORKFLOW, "film", "seed", "profile", "id"}
    | {"comfy_org_api_key", "idempotency_key", "image_url"}
)


@settings(max_examples=500)
@given(
    st.sampled_from([IMAGE, VIDEO, BATCH, WORKFLOW]),
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3),
)
def test_any_input_is_a_job_or_raises_problems(request_: dict[str, Any], wrong: Any) -> None:
    try:
        schema.parse({**request_, **wrong})
    except Problems as error:
        assert error.problems
        assert all(problem.what and "Traceback" not in problem.what for problem in error.problems)


def test_an_image_needs_no_more_than_its_task() -> None:
    job = schema.parse({"task": "image"})
    assert isinstance(job, schema.ImageJob)
    assert (job.prompt, job.width, job.height) == ("", 832, 480)


def test_a_job_without_a_task_is_what_its_keys_say() -> None:
    scene = {"scene": 1, "prompt": "A hero", "audio_url": "https://example.com/a.mp3"}
    batch = schema.parse({"project_id": "story_123", "scenes": [scene]})
    assert isinstance(batch, schema.BatchJob) and batch.scenes[0].id == "scene_1"
    assert isinstance(schema.parse(WORKFLOW), schema.WorkflowJob)
    assert isinstance(schema.parse({"image_url": "a", "audio_url": "b"}), schema.VideoJob)


def test_unknown_keys_of_a_workflow_job_are_warnings_without_their_values() -> None:
    image = {**WORKFLOW["images"][0], "type": "png"}
    job = schema.parse({**WORKFLOW, "images": [image], "comfy_org_key": "secret", "webhook": "x"})
    assert isinstance(job, schema.WorkflowJob)
    assert [text.partition(" is not used: unknown key, ")[::2] for text in job.unused_keys()] == [
        ("comfy_org_key", "did you mean 'comfy_org_api_key'?"),
        ("webhook", "known: comfy_org_api_key, idempotency_key, images, task, workflow."),
        ("images[0].type", "known: image, name."),
    ]
    assert "secret" not in "".join(job.unused_keys())
    documented = schema.parse({**WORKFLOW, "api_key_comfy_org": "secret"})
    assert isinstance(documented, schema.WorkflowJob) and documented.comfy_org_api_key
    assert documented.comfy_org_api_key.get_secret_value() == "secret" and not documented.unused_keys()


def test_a_node_id_of_any_length_is_not_repeated_in_every_problem() -> None:
    with pytest.raises(Problems, match="^workflow: has a node id of more than 200 characters"):
        schema.parse({"workflow": {"x" * 201: {"class_type": "SaveImage", "inputs": {}}}})
