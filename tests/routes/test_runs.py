"""What is rendered from a workflow, for a page that has missed the events."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.studio import Studio


@pytest.mark.parametrize("ours", ["x", 1, [1], {"failed": "x", "earlier": 1}, {"failed": None}])
def test_whatever_a_program_posts_the_runs_are_answered(studio: Studio, ours: Any) -> None:
    card = {"text": "runs", "heading": "", "width": 64, "height": 64, "seed": 1}
    prompt = {
        "1": {"class_type": "StoryStudio_TitleCard", "inputs": card},
        "2": {"class_type": "StoryStudio_Still", "inputs": {"image": ["1", 0], "name": "runs"}},
    }
    workflow = {"id": f"runs {ours}"}
    body = {"prompt": prompt, "extra_data": {"story_studio": ours, "extra_pnginfo": {"workflow": workflow}}}
    posted = requests.post(f"{studio.url}/prompt", json=body, timeout=30)
    assert posted.status_code == 200, posted.text
    response = requests.get(f"{studio.url}/story_studio/runs", {"workflow": workflow["id"]}, timeout=30)
    assert response.status_code == 200, response.text
    (run,) = response.json()
    assert (run["failed"], run["earlier"]) == ({}, [])
