"""The endpoint's API: the inputs of its jobs, all errors of which are reported together.

A job is RunPod's `input`: a task with its fields. Whatever a job leaves out is the profile's, as in a story.
`python -m driver.worker.schema` prints the JSON Schema of all this: workflows/endpoint.schema.json.
"""

from __future__ import annotations

import contextlib
import json
import sys
import zlib
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from story_studio.story.messages import problems_of
from story_studio.story.part import Part
from story_studio.story.problems import Problem, Problems, nearest
from story_studio.story.schema import (
    DEFAULT_VIDEO_PROMPT,
    ID_PATTERN,
    Id,
    Prompt,
    Quality,
    Resolution,
    Seed,
    Story,
)

from . import scene_schema
from .answers import PROFILE, BatchAnswer, Failure, ImageAnswer, VideoAnswer, WorkflowAnswer

Source = Annotated[
    str,
    Field(
        min_length=1,
        max_length=20_000_000,
        description="An http(s) address, a data URI, or the key of an object in the endpoint's own store.",
    ),
]
_OTHER_KEY = "api_key_comfy_org"
_MAX_NODE_ID = 200
"""Characters. ComfyUI's are numbers, joined by colons where subgraphs are nested."""
_MAX_WORKFLOW = 20_000_000
"""Characters of a workflow as JSON: what RunPod takes for a whole job."""


def _example(given: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [given]})


def _idempotency_key() -> Any:
    return Field(
        default=None,
        pattern=ID_PATTERN,
        description="Jobs with the same key are the same job: the same seed and the same addresses, whatever "
        "their ids on RunPod. Use each key for one body; another body replaces the first one's files.",
    )


class _Job(Part):
    profile: str = Field(default="standard", description=PROFILE)
    seed: Seed | None = Field(
        default=None, description="Without it one that follows from `idempotency_key`, or the job's id."
    )
    idempotency_key: str | None = _idempotency_key()


class ImageJob(_Job):
    """An image."""

    model_config = _example(
        {
            "task": "image",
            "prompt": "A professional businesswoman in a modern office, portrait style",
            "negative_prompt": "blurry, low quality",
            "width": 832,
            "height": 480,
            "steps": 20,
        }
    )
    task: Literal["image"]
    prompt: Prompt = Field(default="", description="What the image shows.")
    negative_prompt: Prompt | None = Field(default=None, description="What it should not show.")
    width: int = Field(default=832, ge=64, le=2048, multiple_of=16, description="Pixels.")
    height: int = Field(default=480, ge=64, le=2048, multiple_of=16, description="Pixels.")
    steps: int | None = Field(default=None, ge=1, le=200, description="Sampling steps.")
    cfg: float | None = Field(default=None, ge=1, le=30, description="Guidance.")


class VideoJob(_Job):
    """A talking video, from an image and a recording."""

    model_config = _example(
        {
            "task": "video",
            "image": "https://example.com/StoryStudio/img_123.png",
            "audio": "https://example.com/StoryStudio/audio_123.mp3",
            "prompt": "Person speaking naturally with subtle expressions",
            "resolution": "480p",
            "sample_steps": 20,
        }
    )
    task: Literal["video"] = "video"
    image: Source
    audio: Source
    other_names = {"image_url": "image", "audio_url": "audio"}
    prompt: Prompt = Field(default=DEFAULT_VIDEO_PROMPT, description="What happens in the video.")
    negative_prompt: Prompt | None = Field(default=None, description="What should not happen.")
    resolution: Resolution = "480p"
    sample_steps: int | None = Field(default=None, ge=1, le=200, description="Sampling steps.")
    cfg: float | None = Field(default=None, ge=1, le=30, description="Guidance.")
    quality: Quality = Field(
        default_factory=Quality, description="Whether the video is checked, and made again if it fails."
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_names_of_scenes(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        names = {name: cls.other_names.get(name, name) for name in value}
        if len({*names.values()}) < len(names):
            # Both names are there: the one that is not the field's is reported.
            return value
        return {names[name]: value[name] for name in value}


class BatchJob(Story):
    """A story: an image and a video for each scene, or for each line of a dialogue, and a film if it is
    wanted."""

    model_config = _example(
        {
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
    )
    task: Literal["batch"]
    project_id: Id = "story"
    idempotency_key: str | None = _idempotency_key()


class InputImage(Part):
    """An image, or another file, for the nodes of a workflow that load it by this name."""

    model_config = ConfigDict(extra="allow")
    name: str = Field(min_length=1, max_length=255, description="As the nodes of the workflow name it.")
    image: Source = Field(description="Base64, a data URI, an http(s) address, or a key of the store.")


class Node(BaseModel):
    """A node of a workflow."""

    model_config = ConfigDict(extra="allow")
    class_type: str = Field(min_length=1, description="the node's class, as text.")
    inputs: dict[str, Any] = Field(description="the node's inputs by name.")


class WorkflowJob(Part):
    """Any ComfyUI workflow, in API format: the input of worker-comfyui as it stands.

    Unknown keys are warnings in the answer, because worker-comfyui ignores them.
    """

    model_config = ConfigDict(extra="allow") | _example(
        {
            "task": "workflow",
            "workflow": {
                "1": {"class_type": "LoadImage", "inputs": {"image": "portrait.png"}},
                "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
                "3": {
                    "class_type": "SaveImage",
                    "inputs": {"images": ["2", 0], "filename_prefix": "inverted"},
                    "_meta": {"title": "Save Image"},
                },
            },
            "images": [{"name": "portrait.png", "image": "https://example.com/portrait.png"}],
        }
    )
    task: Literal["workflow"] = "workflow"
    workflow: dict[str, Node] = Field(
        min_length=1, max_length=5000, description="ComfyUI's Workflow > Export (API): nodes by their ids."
    )
    images: list[InputImage] | None = Field(default=None, max_length=100)
    comfy_org_api_key: SecretStr | None = Field(
        default=None, description="A key for ComfyUI's nodes that call paid services."
    )
    idempotency_key: str | None = _idempotency_key()

    def unused_keys(self) -> list[str]:
        """The keys that mean nothing here, a sentence each."""
        images = [(f"images[{number}].", image) for number, image in enumerate(self.images or [])]
        return [
            f"{prefix}{key[:80]} is not used: unknown key, {nearest(key[:80], type(part).model_fields)}"
            for prefix, part in [("", self), *images]
            for key in part.model_extra or {}
        ]

    @model_validator(mode="before")
    @classmethod
    def _accept_the_key_s_other_name(cls, value: Any) -> Any:
        # It is the name in worker-comfyui's list of variables.
        if isinstance(value, dict) and "comfy_org_api_key" not in value and _OTHER_KEY in value:
            return {"comfy_org_api_key" if key == _OTHER_KEY else key: value[key] for key in value}
        return value

    @field_validator("workflow", mode="before")
    @classmethod
    def _in_api_format(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if isinstance(value.get("nodes"), list):
            raise ValueError(
                "is in the format of ComfyUI's interface: export it with Workflow > Export (API)."
            )
        if any(isinstance(node_id, str) and len(node_id) > _MAX_NODE_ID for node_id in value):
            raise ValueError(f"has a node id of more than {_MAX_NODE_ID} characters: use a shorter one.")
        try:
            size = len(json.dumps(value, allow_nan=False))
        except (ValueError, TypeError, RecursionError):
            raise ValueError("is not JSON: it holds NaN, or is nested too deeply.") from None
        if size > _MAX_WORKFLOW:
            raise ValueError(f"is larger than {_MAX_WORKFLOW // 10**6} MB: send its images as `images`.")
        return value

    @field_validator("images")
    @classmethod
    def _distinct(cls, images: list[InputImage] | None) -> list[InputImage] | None:
        names = [image.name for image in images or []]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"the names {', '.join(twice)} are used more than once: give each image its own."
            )
        return images

    @field_validator("comfy_org_api_key", mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        # The message of a failed check would show the value.
        if value is not None and not isinstance(value, str):
            raise ValueError("is not text: send the key as Comfy.org shows it.")
        return value


Job = ImageJob | VideoJob | BatchJob | WorkflowJob
_JOBS: dict[str, type[Job]] = {
    "image": ImageJob,
    "video": VideoJob,
    "batch": BatchJob,
    "workflow": WorkflowJob,
}
UNKNOWN = "unknown"
TASKS = (*_JOBS, UNKNOWN)
_SIGNS = {"workflow": "workflow", "scenes": "batch"}
"""The keys by which a job without a `task` is recognized."""


def _default_task(given: dict[str, Any]) -> str:
    return next((task for key, task in _SIGNS.items() if key in given), "video")


def task_of(given: Any) -> str:
    """The task of RunPod's `input`, even if the worker will refuse it; "unknown" if it names none."""
    task = given.get("task", _default_task(given)) if isinstance(given, dict) else None
    return task if isinstance(task, str) and task in _JOBS else UNKNOWN


def parse(given: Any) -> Job:
    """The job in RunPod's `input`. Without a `task` it is a workflow if it has one, a batch if it has scenes,
    and else a video.

    Raises:
        Problems: everything that is wrong with it, each with the path of its field.
    """
    if isinstance(given, str):
        # As worker-comfyui takes it too.
        with contextlib.suppress(ValueError, RecursionError):
            given = json.loads(given)
    if not isinstance(given, dict):
        raise Problems([Problem("input", "a job is an object with a `task` and its fields.")])
    task = given.get("task", _default_task(given))
    if not isinstance(task, str) or task not in _JOBS:
        raise Problems([Problem("task", f"unknown task {str(task)[:80]!r}, {nearest(str(task), _JOBS)}")])
    if task == "batch" and given.get("project_id", "") is None:
        # As the response has it if none is sent.
        given = {key: value for key, value in given.items() if key != "project_id"}
    # A batch makes a film only if it is asked for.
    optional = {"film": False} if task == "batch" else {}
    try:
        return _JOBS[task].model_validate({**optional, **given, "task": task})
    except ValidationError as error:
        raise Problems(problems_of(error, _JOBS[task])) from None


def seed_of(job: ImageJob | VideoJob, identity: str) -> int:
    """The job's seed, or one from its identity, so that a job that RunPod retries finds its results."""
    return zlib.crc32(identity.encode()) if job.seed is None else job.seed


class _Untitled(GenerateJsonSchema):
    """Without titles of fields, from which generators of types would make a type each."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema() -> dict[str, Any]:
    """JSON Schema of all jobs; the responses are in its `$defs`, `ImageAnswer` for `ImageJob`."""
    jobs = list(_JOBS.values())
    answers = (ImageAnswer, VideoAnswer, BatchAnswer, WorkflowAnswer, Failure)
    _, found = models_json_schema(
        [(model, "validation") for model in (*jobs, *answers)], schema_generator=_Untitled
    )
    parts = found["$defs"]
    scene_schema.complete(parts)
    batch = parts["BatchJob"]["properties"]
    batch["film"] |= {"anyOf": [*batch["film"]["anyOf"], {"type": "boolean"}], "default": False}
    batch["project_id"] = {"anyOf": [batch["project_id"], {"type": "null"}]}
    _accept_names_of_scenes(parts["VideoJob"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Story Studio's endpoint",
        "description": "RunPod's `input`. Its `output` is the task's answer, or a Failure.",
        "anyOf": [{"$ref": f"#/$defs/{job.__name__}"} for job in jobs],
        "$defs": parts,
    }


def _accept_names_of_scenes(video: dict[str, Any]) -> None:
    """Adds what VideoJob's validator accepts besides its fields."""
    for name, field in VideoJob.other_names.items():
        video["properties"][name] = {
            **video["properties"][field],
            "description": f"Another name for `{field}`.",
        }
        video["required"].remove(field)
    video["allOf"] = [
        {"oneOf": [{"required": [field]}, {"required": [name]}]}
        for name, field in VideoJob.other_names.items()
    ]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
