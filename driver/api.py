"""The API of the endpoint: what a job may ask for, and what is wrong with one, all at once.

A job is RunPod's `input`: a task with its fields. Whatever a job leaves out is the profile's, as in a story.
"""

from __future__ import annotations

import json
import sys
import zlib
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from .problems import Problem, Problems, nearest
from .story import (
    DEFAULT_VIDEO_PROMPT,
    Id,
    Part,
    Prompt,
    Resolution,
    Seed,
    Story,
    problem_of,
)

Source = Annotated[
    str,
    Field(
        min_length=1,
        max_length=20_000_000,
        description="An http(s) address, a data URI, or the key of an object in the endpoint's own store.",
    ),
]
_PROFILE = "draft, turbo, standard or quality."


class _Job(Part):
    profile: str = Field(default="standard", description=_PROFILE)
    seed: Seed | None = Field(default=None, description="Without it one that follows from the job's id.")


class ImageJob(_Job):
    """One picture."""

    task: Literal["image"]
    prompt: Prompt = Field(min_length=1, description="What the picture shows.")
    negative_prompt: Prompt | None = Field(default=None, description="What it should not show.")
    width: int = Field(default=832, ge=64, le=2048, multiple_of=16, description="Pixels.")
    height: int = Field(default=480, ge=64, le=2048, multiple_of=16, description="Pixels.")
    steps: int | None = Field(default=None, ge=1, le=200, description="Sampling steps.")
    cfg: float | None = Field(default=None, ge=1, le=30, description="Guidance.")


class VideoJob(_Job):
    """A picture that says a recording."""

    task: Literal["video"] = "video"
    image: Source
    audio: Source
    prompt: Prompt = Field(default=DEFAULT_VIDEO_PROMPT, description="What happens in the video.")
    negative_prompt: Prompt | None = Field(default=None, description="What should not happen.")
    resolution: Resolution = "480p"
    sample_steps: int | None = Field(default=None, ge=1, le=200, description="Sampling steps.")
    cfg: float | None = Field(default=None, ge=1, le=30, description="Guidance.")


class BatchJob(Story):
    """A story: for each scene a picture and a talking video, and a film if it is wanted."""

    task: Literal["batch"]
    project_id: Id = "story"


class InputImage(Part):
    """A picture for a workflow's LoadImage."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]{0,127}$", description="As LoadImage names it.")
    image: Source


class WorkflowJob(Part):
    """Any ComfyUI workflow, in API format."""

    task: Literal["workflow"]
    workflow: dict[str, dict[str, Any]] = Field(min_length=1)
    images: list[InputImage] = Field(default_factory=list, max_length=100)


Job = ImageJob | VideoJob | BatchJob | WorkflowJob
_JOBS: dict[str, type[Job]] = {
    "image": ImageJob,
    "video": VideoJob,
    "batch": BatchJob,
    "workflow": WorkflowJob,
}


def parse(given: Any) -> Job:
    """The job in RunPod's `input`. Without a `task` it is a workflow if it has one, else a video.

    Raises:
        Problems: everything that is wrong with it, each with the path of its field.
    """
    if not isinstance(given, dict):
        raise Problems([Problem("input", "a job is an object with a `task` and its fields.")])
    task = given.get("task", "workflow" if "workflow" in given else "video")
    if not isinstance(task, str) or task not in _JOBS:
        raise Problems([Problem("task", f"{str(task)[:80]!r} is no task, {nearest(str(task), _JOBS)}")])
    # What a batch is asked for are its scenes; a film is made if it is wanted too.
    optional = {"film": False} if task == "batch" else {}
    try:
        return _JOBS[task].model_validate({**optional, **given, "task": task})
    except ValidationError as error:
        raise Problems(problem_of(detail, {}, _JOBS[task]) for detail in error.errors()) from None


def seed_of(job: ImageJob | VideoJob, job_id: str) -> int:
    """The job's seed, or one from its id: a job that RunPod tries again goes on where it was."""
    return zlib.crc32(job_id.encode()) if job.seed is None else job.seed


def schema() -> dict[str, Any]:
    """JSON Schema of all jobs."""
    return TypeAdapter(Job).json_schema()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
