"""What the browser adds to an export for itself, players and buttons, has no say in what is found again."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from driver.comfy.client import Comfy
from driver.comfy.events import Finished
from driver.comfy.process import Server
from driver.files import sha256_of
from driver.rendering.keys import predict
from story_studio.story.graph import Graph, SceneId
from tests.studio import CPU_FLAGS, Studio
from tests.voices import write_voice

WIDGETS = {
    "LoadImage": {"upload": "image"},
    "LoadAudio": {"audioUI": "", "upload": ""},
    "StoryStudio_Animatic": {"video-preview": ""},
}


@pytest.fixture(params=["cached", "--cache-none"])
def comfy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Comfy]:
    """A server as it is started for a story, and one that keeps nothing between nodes."""
    if request.param == "cached":
        studio: Studio = request.getfixturevalue("studio")
        yield studio.comfy
    else:
        flags = (*CPU_FLAGS, "--cache-none")
        with Server(tmp_path / "workspace", tmp_path / "output", extra_flags=flags) as server:
            yield Comfy(server.url)


@pytest.fixture
def graph(comfy: Comfy, tmp_path: Path) -> dict[str, Any]:
    """A picture and a voice become a clip; no other test makes this one."""
    Image.effect_noise((64, 64), 80).convert("RGB").save(tmp_path / "own.png")
    face = comfy.upload(tmp_path / "own.png", f"{tmp_path.name}.png")
    voice = comfy.upload(write_voice(tmp_path / "own.wav", 0.3), f"{tmp_path.name}.wav")
    move = {"audio": ["3", 0], "image": ["2", 0], "width": 64, "height": 64, "seed": 1}
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": face}},
        "2": {"class_type": "StoryStudio_Still", "inputs": {"image": ["1", 0], "name": "widgets"}},
        "3": {"class_type": "LoadAudio", "inputs": {"audio": voice}},
        "4": {"class_type": "StoryStudio_Animatic", "inputs": move},
        "5": {"class_type": "StoryStudio_Clip", "inputs": {"video": ["4", 0], "name": "widgets"}},
    }


def as_exported(graph: dict[str, Any]) -> dict[str, Any]:
    """The graph with all that a browser adds."""
    exported = copy.deepcopy(graph)
    for node in exported.values():
        node["inputs"] |= WIDGETS.get(node["class_type"], {})
    return exported


def found(comfy: Comfy, graph: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """The key of the still and the clip, and whether it was there."""
    (end,) = [event for event in comfy.run(graph) if isinstance(event, Finished)]
    assert end.status == "success"
    checkpoints = {node: end.outputs[node]["checkpoint"][0] for node in ("2", "5")}
    return {node: (one["key"], one["reused"]) for node, one in checkpoints.items()}


def test_an_export_finds_what_the_driver_s_graph_made(comfy: Comfy, graph: dict[str, Any]) -> None:
    made = found(comfy, graph)
    assert [reused for _, reused in made.values()] == [False, False]
    assert found(comfy, as_exported(graph)) == {node: (key, True) for node, (key, _) in made.items()}


def test_an_input_that_the_class_takes_is_in_the_key(comfy: Comfy, graph: dict[str, Any]) -> None:
    made = found(comfy, graph)
    graph["4"]["inputs"]["seed"] = 2
    other = found(comfy, graph)
    assert other["2"][0] == made["2"][0]
    assert other["5"][0] != made["5"][0]


def test_the_driver_foresees_the_same_keys(comfy: Comfy, graph: dict[str, Any], tmp_path: Path) -> None:
    sums = {
        graph["1"]["inputs"]["image"]: sha256_of(tmp_path / "own.png"),
        graph["3"]["inputs"]["audio"]: sha256_of(tmp_path / "own.wav"),
    }
    scene = SceneId(0, "scene_1")
    # A template of one's own comes from a browser; of its nodes the driver knows the stock loaders.
    exported = as_exported(graph) | {"4": graph["4"]}
    made = {node: key for node, (key, _) in found(comfy, graph).items()}
    for nodes in (graph, exported):
        assert predict(Graph(nodes, stills={scene: "2"}, clips={scene: "5"}), sums) == made
