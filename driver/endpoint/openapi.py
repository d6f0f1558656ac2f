"""The endpoint's OpenAPI document, on RunPod and here: RunPod's paths, Story Studio's jobs and answers.

`python -m driver.endpoint.openapi` prints it: workflows/endpoint.openapi.json.
"""

from __future__ import annotations

import json
import sys
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ..version import version
from ..worker import schema
from .protocol import DEFAULT_WAIT, MAX_WAIT, Health, JobRequest, JobState, Progress, Purged, Refusal, Stream

_PLACE = "#/components/schemas/"
_JSON = "application/json"


def document() -> dict[str, Any]:
    """The document, for OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Story Studio's endpoint",
            "version": version(),
            "description": "Images, talking videos, stories and ComfyUI workflows as jobs of a RunPod "
            "endpoint. A job is sent to /run or /runsync, and its answer is the `output` of its status.",
        },
        "servers": [
            _server("https://api.runpod.ai/v2", "RunPod.", "your-endpoint-id"),
            _server("http://127.0.0.1:8000/v2", "`story-studio endpoint` on this machine.", "local"),
        ],
        "security": [{"key": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def _server(base: str, about: str, endpoint_id: str) -> dict[str, Any]:
    variables = {"endpoint": {"default": endpoint_id, "description": "The endpoint's id."}}
    return {"url": f"{base}/{{endpoint}}", "description": about, "variables": variables}


def _paths() -> dict[str, Any]:
    wait = {"type": "integer", "minimum": 1000, "maximum": MAX_WAIT, "default": DEFAULT_WAIT}
    parameter = {"name": "wait", "in": "query", "schema": wait}
    parameter["description"] = (
        "Milliseconds; a job that takes longer keeps running, and its id is in the answer."
    )
    submit = {"requestBody": _body(), "responses": _responses(JobState, 400, 401, 415, 429)}
    return {
        "/run": {"post": _operation("run", "Queues a job.") | submit},
        "/runsync": {
            "post": _operation("runsync", "Queues a job and waits for its end.")
            | submit
            | {"parameters": [parameter]}
        },
        "/status/{id}": _of_job("get", "status", "A job's state and, once it has ended, its answer."),
        "/cancel/{id}": _of_job("post", "cancel", "Ends a job; what it has finished is kept."),
        "/retry/{id}": _of_job("post", "retry", "Queues a job again that failed or ran out of time.", 400),
        "/stream/{id}": _of_job("get", "stream", "What a job has streamed.", answer=Stream),
        "/purge-queue": {
            "post": _operation("purge", "Removes all jobs that wait.")
            | {"responses": _responses(Purged, 401)}
        },
        "/health": {
            "get": _operation("health", "Counts of jobs and workers.")
            | {"responses": _responses(Health, 401)}
        },
    }


def _of_job(
    method: str, name: str, about: str, *more: int, answer: type[BaseModel] = JobState
) -> dict[str, Any]:
    parameter = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    responses = {"parameters": [parameter], "responses": _responses(answer, *more, 401, 404)}
    return {method: _operation(name, about) | responses}


def _operation(name: str, about: str) -> dict[str, Any]:
    return {"operationId": name, "summary": about}


def _body() -> dict[str, Any]:
    examples = {
        example["task"]: {"value": {"input": example}}
        for model in get_args(schema.Job)
        for example in model.model_json_schema()["examples"]
    }
    content = {"schema": {"$ref": f"{_PLACE}{JobRequest.__name__}"}, "examples": examples}
    return {"required": True, "content": {_JSON: content}}


def _responses(model: type[BaseModel], *refusals: int) -> dict[str, Any]:
    responses = {"200": _response("Done.", model)}
    return responses | {str(status): _response(_REFUSALS[status], Refusal) for status in sorted(refusals)}


def _response(about: str, model: type[BaseModel]) -> dict[str, Any]:
    schema_of = {"$ref": f"{_PLACE}{model.__name__}"}
    return {"description": about, "content": {_JSON: {"schema": schema_of}}}


_REFUSALS = {
    400: "The request is wrong.",
    401: "The key is missing or wrong.",
    404: "There is no such job, or no longer.",
    415: "The body is not declared as JSON.",
    429: "Too many jobs are waiting.",
}


def _schemas() -> dict[str, Any]:
    """The jobs and answers of `schema`, and RunPod's own objects around them."""
    contract = schema.schema()
    models: list[type[BaseModel]] = [JobRequest, JobState, Progress, Health, Purged, Stream, Refusal]
    _, found = models_json_schema([(model, "validation") for model in models])
    parts = found["$defs"] | contract["$defs"]
    answers = ["Progress", "ImageAnswer", "VideoAnswer", "BatchAnswer", "WorkflowAnswer", "Failure"]
    parts["JobRequest"]["properties"]["input"] |= {"anyOf": contract["anyOf"]}
    parts["JobState"]["properties"]["output"] |= {
        "anyOf": [*({"$ref": f"#/$defs/{name}"} for name in answers), {"type": "null"}]
    }
    return json.loads(json.dumps(parts).replace('"#/$defs/', f'"{_PLACE}'))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(), indent=2) + "\n")
