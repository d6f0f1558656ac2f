"""A scene that fails where a workflow was queued from a canvas: the server makes the others."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket

from story_studio.story.graph import Graph, SceneId
from story_studio.story.recipes import Nodes
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


ASKED = {"leave_out_failed": True}


def post(
    studio: Studio, nodes: Nodes, workflow: str, about: Any = ASKED, client: str = "tests"
) -> requests.Response:
    """Queues nodes with what a program, or a page, says about them."""
    extra: dict[str, Any] = {"extra_pnginfo": {"workflow": {"id": workflow}}}
    extra |= {} if about is None else {"story_studio": about}
    body = {"prompt": nodes, "extra_data": extra, "client_id": client}
    return requests.post(f"{studio.url}/prompt", json=body, timeout=60)


def runs(studio: Studio, workflow: str, ended: int) -> list[dict[str, Any]]:
    """The runs of a workflow, once so many have ended."""
    for _ in range(600):
        found = requests.get(f"{studio.url}/story_studio/runs?workflow={workflow}", timeout=60).json()
        if len(found) >= ended and not any(run["state"] in ("waiting", "running") for run in found):
            return found
        time.sleep(0.2)
    raise AssertionError(found)


def runs_in_all(studio: Studio, workflow: str) -> list[dict[str, Any]]:
    """The runs of a workflow once a prompt that was queued after its end has ended, too."""
    runs(studio, workflow, 1)
    later = uuid.uuid4().hex
    assert post(studio, stills("fail once", "fine"), later).status_code == 200
    runs(studio, later, 1)
    return runs(studio, workflow, 1)


def stills(*faults: str) -> Nodes:
    """Stills `still_0` ... of title cards, each behind a node `card_0` ..., which has this fault."""
    nodes: Nodes = {}
    for number, fault in enumerate(faults):
        text = uuid.uuid4().hex
        card = {"text": text, "heading": "", "width": 64, "height": 64, "seed": 1}
        raised = {"image": [f"title_{number}", 0], "message": f"/tmp/{text}", "when": fault}
        nodes[f"title_{number}"] = {"class_type": "StoryStudio_TitleCard", "inputs": card}
        nodes[f"card_{number}"] = {"class_type": "TestRaise", "inputs": raised}
        still = {"image": [f"card_{number}", 0], "name": f"still {number}"}
        nodes[f"still_{number}"] = {"class_type": "StoryStudio_Still", "inputs": still}
    return nodes


def long_clip(seconds: float) -> Nodes:
    """A clip of this length, which takes a hundredth of it."""
    made = {"audio": ["sound", 0], "image": ["title_0", 0], "width": 64, "height": 64, "seed": 1}
    return {
        "title_0": stills("fine")["title_0"],
        "sound": {
            "class_type": "EmptyAudio",
            "inputs": {"duration": seconds, "sample_rate": 8000, "channels": 1},
        },
        "made": {"class_type": "StoryStudio_Animatic", "inputs": made},
        "clip": {"class_type": "StoryStudio_Clip", "inputs": {"video": ["made", 0], "name": "long"}},
    }


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
    answer = post(studio, story.nodes, workflow)
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
    assert post(studio, story.nodes, workflow).json()["node_errors"] == {}
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
    assert post(studio, story.nodes, workflow).status_code == 200
    (run,) = runs_in_all(studio, workflow)
    assert run["state"] == "error" and run["failed"] == {"fails": "for all"}


def test_what_a_program_posts_is_refused_as_a_whole(studio: Studio, story: Graph) -> None:
    recording(story, 1)["audio"] = "nowhere.wav"
    workflow = uuid.uuid4().hex
    # It may send the canvas along, for the files, and get events.
    with connected(studio, {}) as client:
        answer = post(studio, story.nodes, workflow, None, client)
    assert answer.status_code == 400 and answer.json()["node_errors"]
    assert requests.get(f"{studio.url}/story_studio/runs?workflow={workflow}", timeout=60).json() == []


def test_a_page_is_recognised_by_what_it_says_when_it_connects(studio: Studio) -> None:
    nodes = stills("fail", "fine")
    nodes["title_0"] = {"class_type": "LoadImage", "inputs": {"image": "nowhere.png"}}
    with connected(studio, {"type": "feature_flags", "data": {"supports_preview_metadata": True}}) as client:
        assert post(studio, nodes, "one", {"leave_out_failed": False}, client).status_code == 400
        workflow = uuid.uuid4().hex
        assert post(studio, nodes, workflow, None, client).status_code == 200
        (run,) = runs(studio, workflow, 1)
    reason = "nowhere.png is not in the input folder: choose another file."
    assert run["failed"] == {"title_0": reason}
    # One result is left, which is made.
    assert run["state"] == "success" and set(run["outputs"]) == {"still_1"} and run["started"] > 0


@contextmanager
def connected(studio: Studio, first: dict[str, Any]) -> Iterator[str]:
    """The id of a client that is connected, with its first message."""
    client = uuid.uuid4().hex
    socket = websocket.create_connection(
        f"ws{studio.url.removeprefix('http')}/ws?clientId={client}", timeout=60
    )
    try:
        socket.recv()
        socket.send(json.dumps(first or {"type": "hello"}))
        if first:
            # The server answers with its own.
            assert json.loads(socket.recv())["type"] == "feature_flags"
        yield client
    finally:
        socket.close()


def test_each_scene_that_fails_is_left_out(studio: Studio) -> None:
    workflow = uuid.uuid4().hex
    nodes = stills("fail", "fail", "fine")
    assert post(studio, nodes, workflow).status_code == 200
    first, second, last = runs(studio, workflow, 3)
    assert last["state"] == "success" and set(last["outputs"]) == {"still_2"}
    assert last["failed"] == {f"card_{n}": nodes[f"card_{n}"]["inputs"]["message"] for n in (0, 1)}
    assert last["earlier"] == [first["id"], second["id"]]
    # A program that asks for it finds the next prompt in the history.
    history = requests.get(f"{studio.url}/history/{first['id']}", timeout=60).json()
    assert history[first["id"]]["prompt"][3]["story_studio"]["followed_by"] == second["id"]


def test_after_running_out_of_memory_a_scene_is_tried_once_more(studio: Studio) -> None:
    # Also where it is the only one.
    workflow = uuid.uuid4().hex
    assert post(studio, stills("starve once"), workflow).status_code == 200
    first, second = runs(studio, workflow, 2)
    assert (first["state"], second["state"], second["failed"]) == ("error", "success", {})
    workflow = uuid.uuid4().hex
    assert post(studio, stills("starve", "fine"), workflow).status_code == 200
    *others, last = runs(studio, workflow, 3)
    assert [run["state"] for run in others] == ["error", "error"]
    assert list(last["failed"]) == ["card_0"] and set(last["outputs"]) == {"still_1"}


def test_nothing_follows_a_full_disk(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "full").touch()
    nodes, workflow = stills("no space", "fine"), uuid.uuid4().hex
    nodes["card_0"]["inputs"]["message"] = str(tmp_path / "full")
    assert post(studio, nodes, workflow).status_code == 200
    (run,) = runs_in_all(studio, workflow)
    assert run["state"] == "error" and run["outputs"] == {}


def test_nothing_follows_a_run_that_was_stopped(studio: Studio) -> None:
    workflow = uuid.uuid4().hex
    assert post(studio, {**stills("fine", "fine"), **long_clip(900)}, workflow).status_code == 200
    while_running(studio, workflow)
    requests.post(f"{studio.url}/interrupt", json={}, timeout=60)
    (run,) = runs_in_all(studio, workflow)
    assert run["state"] == "interrupted"


def while_running(studio: Studio, workflow: str) -> None:
    """Waits until a workflow makes its clip."""
    for _ in range(600):
        (run,) = requests.get(f"{studio.url}/story_studio/runs?workflow={workflow}", timeout=60).json()
        if "made" in run.get("active", {}):
            return
        time.sleep(0.1)
    raise AssertionError(run)


def test_the_rest_comes_before_what_was_queued_later(studio: Studio) -> None:
    first, *later = (uuid.uuid4().hex for _ in range(3))
    assert post(studio, stills("fail", "fine"), first).status_code == 200
    for workflow, nodes in zip(later, (long_clip(100), stills("fine")), strict=True):
        assert post(studio, nodes, workflow).status_code == 200
    _, rest = runs(studio, first, 2)
    (last,) = runs(studio, later[1], 1)
    assert rest["started"] < last["started"]


@pytest.mark.parametrize("about", ["x", 3, ["x"], {"failed": "x", "earlier": {}}])
def test_anything_may_be_posted_about_a_prompt(studio: Studio, about: Any) -> None:
    workflow = uuid.uuid4().hex
    assert post(studio, stills("fine"), workflow, about).status_code == 200
    (run,) = runs(studio, workflow, 1)
    assert (run["failed"], run["earlier"]) == ({}, [])
