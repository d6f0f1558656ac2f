"""A long story on the real server: its order, and that nothing grows with what has been done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
import requests

from driver.cli import main
from driver.comfy.events import EventSocket, Executing, Finished
from driver.terminal import OK
from story_studio.story.order import IN_ORDER, RESULTS
from tests.studio import Studio

WriteStory = Callable[..., Path]
SCENES = 40


@pytest.fixture
def story(write_story: WriteStory) -> Path:
    return write_story([0.2] * SCENES, profile="draft", project_id="long")


def test_its_order_and_the_size_of_its_messages(
    story: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[dict[str, Any]] = []
    receive = EventSocket.receive

    def recorded(socket: EventSocket, seconds: float) -> dict[str, Any]:
        messages.append(message := receive(socket, seconds))
        return message

    monkeypatch.setattr(EventSocket, "receive", recorded)
    output = studio.server.output
    assert studio.render(story, output) == OK

    (prompt_id,) = {message["data"]["prompt_id"] for message in messages if message.get("type") == "executed"}
    history = requests.get(f"{studio.url}/history/{prompt_id}", timeout=30).json()
    nodes = history[prompt_id]["prompt"][2]
    assert any(node["class_type"] == IN_ORDER for node in nodes.values())
    ran = [message["data"]["node"] for message in messages if message.get("type") == "executed"]
    kinds = [nodes[node]["class_type"] for node in ran if nodes[node]["class_type"] in RESULTS]
    ends = ["Still"] * SCENES, ["ContactSheet"], ["Clip"] * SCENES, ["Film"]
    assert kinds == [f"StoryStudio_{kind}" for part in ends for kind in part]
    states = [message["data"]["nodes"] for message in messages if message.get("type") == "progress_state"]
    assert states and max(map(len, states)) < 10

    with av.open(str(output / "long" / "film.mp4")) as film:
        assert [chapter["metadata"]["title"] for chapter in film.chapters()] == [
            f"scene_{number}" for number in range(1, SCENES + 1)
        ]
        prompt = json.loads(film.metadata["prompt"])
    assert not any(node["class_type"] == IN_ORDER for node in prompt.values())


def test_all_results_are_reported_again(story: Path, studio: Studio) -> None:
    """ComfyUI still has their outputs, so none of their nodes runs."""
    output = studio.server.output
    for _ in range(2):
        assert studio.render(story, output) == OK
    manifest = json.loads((output / "long" / "manifest.json").read_text())
    assert manifest["status"] == "complete" and manifest["film"]["reused"]
    assert [scene["clip"]["reused"] for scene in manifest["scenes"]] == [True] * SCENES


def test_what_saves_a_clip_elsewhere_comes_after_the_stills(
    write_story: WriteStory, studio: Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    story = write_story([0.2] * 3, profile="draft", project_id="saved", seed=77)
    assert main(["graph", str(story), "--server", studio.url]) == OK
    graph = json.loads(capsys.readouterr().out)
    clip = next(node for node in graph if graph[node]["class_type"] == "StoryStudio_Clip")
    save = {"video": [clip, 0], "filename_prefix": "elsewhere", "format": "auto", "codec": "auto"}
    graph["save"] = {"class_type": "SaveVideo", "inputs": save}
    events = list(studio.comfy.run(graph))
    ends = [event for event in events if isinstance(event, Finished)]
    assert ends[0].status == "success" and ends[0].outputs["save"]["images"]
    ran = [event.node for event in events if isinstance(event, Executing)]
    stills = [node for node in graph if graph[node]["class_type"] == "StoryStudio_TitleCard"]
    assert ran.index("save") > max(ran.index(node) for node in stills)
