"""A scene that fails where a workflow was queued from a canvas: the server makes the others."""

from __future__ import annotations

import itertools
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import requests

from story_studio.story.graph import Graph, SceneId
from tests.story.test_order import graph_of
from tests.studio import Studio
from tests.voices import write_voice

SEEDS = itertools.count(4001)
"""A new seed for each test: results of another would be found."""


@pytest.fixture
def story(studio: Studio, tmp_path: Path) -> Graph:
    """The draft graph of three scenes whose recordings the server has."""
    graph = graph_of(3, profile="draft", title=f"Tale {next(SEEDS)} {uuid.uuid4().hex}")
    for number in range(3):
        name = f"0_scene_{number}.wav"
        studio.comfy.upload(write_voice(tmp_path / name, 0.3, pitch=100 + 10 * number), name, "")
    return graph


def post(studio: Studio, graph: Graph, workflow: str | None) -> requests.Response:
    """Queues a graph, from a canvas if its workflow's id is given."""
    extra = {"extra_pnginfo": {"workflow": {"id": workflow}}} if workflow else {}
    body = {"prompt": graph.nodes, "extra_data": extra, "client_id": "tests"}
    return requests.post(f"{studio.url}/prompt", json=body, timeout=60)


def runs(studio: Studio, workflow: str, ended: int) -> list[dict[str, Any]]:
    """The runs of a workflow, once so many have ended."""
    for _ in range(600):
        found = requests.get(f"{studio.url}/story_studio/runs?workflow={workflow}", timeout=60).json()
        if len(found) >= ended and all(run["state"] in ("success", "error") for run in found):
            return found
        time.sleep(0.2)
    raise AssertionError(found)


def recording(graph: Graph, scene: int) -> dict[str, Any]:
    """The inputs of the Load Audio of a scene."""
    return next(
        node["inputs"]
        for node in graph.nodes.values()
        if node["class_type"] == "LoadAudio" and node["inputs"]["audio"] == f"0_scene_{scene}.wav"
    )


def test_a_scene_that_is_refused_is_left_out(studio: Studio, story: Graph) -> None:
    recording(story, 1)["audio"] = "nowhere.wav"
    workflow = uuid.uuid4().hex
    answer = post(studio, story, workflow)
    assert answer.status_code == 200
    (wrong,) = answer.json()["node_errors"]
    assert story.nodes[wrong]["inputs"]["audio"] == "nowhere.wav"
    (run,) = runs(studio, workflow, 1)
    assert run["state"] == "success" and "nowhere.wav" in run["failed"][wrong]
    expect_all_but(story, 1, set(run["outputs"]))


def expect_all_but(story: Graph, lost: int, made: set[str]) -> None:
    """The results of two scenes and the sheet, but no clip of the scene that is lost, and so no film."""
    left = {clip for scene, clip in story.clips.items() if scene.scene != f"scene_{lost}"}
    wanted = {*story.stills.values(), *story.sheets.values()} | left
    assert made == wanted


def test_a_scene_that_fails_is_left_out(studio: Studio, story: Graph, tmp_path: Path) -> None:
    (tmp_path / "junk.wav").write_bytes(b"no sound" * 100)
    studio.comfy.upload(tmp_path / "junk.wav", "junk.wav", "")
    recording(story, 0)["audio"] = "junk.wav"
    workflow = uuid.uuid4().hex
    assert post(studio, story, workflow).json()["node_errors"] == {}
    first, second = runs(studio, workflow, 2)
    assert (first["state"], second["state"]) == ("error", "success")
    assert second["earlier"] == [first["id"]] and second["client"] == "tests"
    (failed,) = second["failed"]
    assert story.nodes[failed]["inputs"]["audio"] == "junk.wav" and first["failed"] == second["failed"]
    expect_all_but(story, 0, set(first["outputs"]) | set(second["outputs"]))
    everything = {
        *story.stills.values(),
        *story.clips.values(),
        *story.films.values(),
        *story.sheets.values(),
    }
    assert set(first["wanted"]) == everything


def test_what_all_scenes_need_ends_the_run(studio: Studio, story: Graph) -> None:
    stills = [story.stills[SceneId(0, f"scene_{number}")] for number in range(3)]
    source = story.nodes[stills[0]]["inputs"]["image"]
    story.nodes["fails"] = {
        "class_type": "TestRaise",
        "inputs": {"image": source, "message": "for all", "when": "fail"},
    }
    for still in stills:
        story.nodes[still]["inputs"]["image"] = ["fails", 0]
    workflow = uuid.uuid4().hex
    assert post(studio, story, workflow).status_code == 200
    time.sleep(1)
    (run,) = runs(studio, workflow, 1)
    time.sleep(1)
    assert runs(studio, workflow, 1) == [run]
    assert run["state"] == "error" and run["failed"] == {"fails": "for all"}


def test_a_program_is_told_and_nothing_runs(studio: Studio, story: Graph) -> None:
    recording(story, 1)["audio"] = "nowhere.wav"
    answer = post(studio, story, None)
    assert answer.status_code == 400 and answer.json()["node_errors"]
    asked = {"story_studio": {"leave_out_failed": True}}
    body = {"prompt": story.nodes, "extra_data": asked}
    assert requests.post(f"{studio.url}/prompt", json=body, timeout=60).status_code == 200
