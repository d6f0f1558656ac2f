"""The OpenAPI document as a file: current, valid, and with examples that are valid themselves."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from driver.paths import ROOT

TEXT = (ROOT / "workflows" / "endpoint.openapi.json").read_text(encoding="utf-8")
DOCUMENT = json.loads(TEXT)


def test_the_file_is_what_the_module_prints() -> None:
    command = [sys.executable, "-m", "driver.endpoint.openapi"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == TEXT


def test_it_is_valid_for_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert list(DOCUMENT["paths"]) == [
        "/run",
        "/runsync",
        "/status/{id}",
        "/cancel/{id}",
        "/retry/{id}",
        "/stream/{id}",
        "/purge-queue",
        "/health",
    ]


@pytest.mark.parametrize("path", ["/run", "/runsync"])
def test_its_examples_are_requests_for_every_task(path: str) -> None:
    content = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    assert content["examples"].keys() == {"image", "video", "batch", "workflow"}
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    for task, example in content["examples"].items():
        Draft202012Validator(schema).validate(example["value"])
        assert not Draft202012Validator(schema).is_valid(
            {"input": {**example["value"]["input"], "task": task * 2}}
        )
