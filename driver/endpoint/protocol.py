"""RunPod's requests and answers, as the local endpoint reads and sends them."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, Field, ValidationError, field_validator

from story_studio.story.messages import problems_of
from story_studio.story.problems import Problem, Problems

MAX_RUN_BYTES = 10 * 2**20
MAX_RUNSYNC_BYTES = 20 * 2**20
"""Also for results."""
MAX_WAIT, DEFAULT_WAIT = 300_000, 90_000
"""Milliseconds that /runsync waits."""
_MAX_DEPTH = 200
"""The worker's JSON parser fails at a few hundred levels more."""
_WEEK = 7 * 24 * 3600 * 1000
_ADDRESS = "^https?://"

JobStatus = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"]
FINAL = frozenset[JobStatus](("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"))


class Policy(BaseModel):
    """How long a job may take, and whether others go first. Times are in milliseconds."""

    executionTimeout: int = Field(
        default=600_000,
        ge=1,
        le=_WEEK,
        description="From the moment a worker takes it; then it is TIMED_OUT.",
    )
    ttl: int = Field(
        default=86_400_000, ge=1, le=_WEEK, description="From the moment it is submitted, in the queue too."
    )
    lowPriority: bool = Field(default=False, description="Jobs without it go first.")


class JobRequest(BaseModel):
    """The body of /run and /runsync."""

    input: Any = Field(description="The job; one of the schemas of jobs.")
    webhook: Annotated[str, Field(max_length=2048, json_schema_extra={"pattern": _ADDRESS})] | None = Field(
        default=None, description="Gets the finished job by POST; tried three times."
    )
    policy: Policy = Policy()

    @field_validator("webhook")
    @classmethod
    def _is_address(cls, webhook: str | None) -> str | None:
        if webhook is not None and not re.match(_ADDRESS, webhook):
            raise ValueError("is not an http or https address: begin it with https://.")
        return webhook


class Progress(BaseModel):
    """A message about a job that is being done."""

    phase: str = Field(
        description="voices, inputs, restoring, waiting, stills, clips, film or uploads; or workflow."
    )
    scene: str = Field(default="", description="The scene's id.")
    node: str = Field(default="", description="The node, of a workflow.")
    done: int = Field(default=0, description="Of the phase: inputs, stills, clips or films.")
    total: int = 0
    percent: float = Field(description="Of the whole job.")
    seconds_left: int | None = Field(description="Estimated.")


class JobState(BaseModel):
    """A job as the API shows it."""

    id: str
    status: JobStatus
    workerId: str | None = None
    delayTime: int | None = Field(default=None, description="Milliseconds in the queue.")
    executionTime: int | None = Field(default=None, description="Milliseconds on the worker.")
    output: Any = Field(
        default=None,
        description="While the job runs, its latest progress message; once it has ended, its answer.",
    )
    error: str | None = Field(default=None, description="Why it failed.")


class JobCounts(BaseModel):
    """Jobs by state."""

    completed: int
    failed: int
    inProgress: int
    inQueue: int
    retried: int


class WorkerCounts(BaseModel):
    """Workers by state."""

    idle: int
    initializing: int
    ready: int
    running: int
    throttled: int
    unhealthy: int


class Health(BaseModel):
    """The answer of /health."""

    jobs: JobCounts
    workers: WorkerCounts


class Purged(BaseModel):
    """The answer of /purge-queue."""

    removed: int = Field(description="Jobs that were waiting and are gone.")
    status: Literal["completed"]


class Chunk(BaseModel):
    """One piece of output that the worker streamed."""

    output: Any


class Stream(BaseModel):
    """The answer of /stream: what was streamed since the last request."""

    status: JobStatus
    stream: list[Chunk] = Field(description="Empty for Story Studio's jobs, which stream nothing.")


class Refusal(BaseModel):
    """The answer to a request that was not carried out."""

    error: str


def parse_request(body: bytes) -> JobRequest:
    """The request in the body of /run or /runsync.

    Raises:
        Problems: everything that is wrong with it.
    """
    try:
        data = json.loads(body, parse_constant=_no_constant)
        if _depth(data) > _MAX_DEPTH:
            _refuse(f"is nested more than {_MAX_DEPTH} levels deep.")
    except RecursionError:
        _refuse(f"is nested more than {_MAX_DEPTH} levels deep.")
    except ValueError as error:
        _refuse(f"is not JSON ({error}).")
    if not isinstance(data, dict) or data.get("input") is None:
        _refuse('has no "input": send {"input": {...}}, with the job in it.')
    try:
        return JobRequest.model_validate(data)
    except ValidationError as error:
        raise Problems(problems_of(error, JobRequest)) from None


def _refuse(what: str) -> NoReturn:
    raise Problems([Problem("the request", what)])


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def _depth(data: Any) -> int:
    """How many lists and objects are around the innermost value."""
    depth, level = 0, [data]
    while level := [part for part in level if isinstance(part, dict | list)]:
        depth += 1
        level = [child for part in level for child in (part.values() if isinstance(part, dict) else part)]
    return depth
