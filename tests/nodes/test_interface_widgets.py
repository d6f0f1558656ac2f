"""Inputs that the browser adds to an export, such as players and buttons, do not change keys."""

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


@pytest.fixture(scope="module")
def uncached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Comfy]:
    """A server without a cache."""
    workspace = tmp_path_factory.mktemp("uncached")
    flags = (*CPU_FLAGS, "--cache-none")
    with Server(workspace, workspace / "output", extra_flags=flags) as server:
        yield Comfy(server.url)


@pytest.fixture(params=["cached", "--cache-none"])
def comfy(request: pytest.FixtureRequest) -> Comfy:
    """A server as it is started for a story, and one without a cache."""
    if request.param == "cached":
        studio: Studio = request.getfixturevalue("studio")
        return studio.comfy
    return request.getfixturevalue("uncached")


@pytest.fixture
def graph(comfy: Comfy, tmp_path: Path) -> dict[str, Any]:
    """Renders a clip that no other test renders."""
    Image.effect_noise((64, 64), 80).convert("RGB").save(tmp_path / "own.png")
    image = comfy.upload(tmp_path / "own.png", f"{tmp_path.name}.png")
    voice = comfy.upload(write_voice(tmp_path / "own.wav", 0.3), f"{tmp_path.name}.wav")
    move = {"audio": ["3", 0], "image": ["2", 0], "width": 64, "height": 64, "seed": 1}
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "2": {"class_type": "StoryStudio_Still", "inputs": {"image": ["1", 0], "name": "widgets"}},
        "3": {"class_type": "LoadAudio", "inputs": {"audio": voice}},
        "4": {"class_type": "StoryStudio_Animatic", "inputs": move},
        "5": {"class_type": "StoryStudio_Clip", "inputs": {"video": ["4", 0], "name": "widgets"}},
    }


def as_exported(graph: dict[str, Any]) -> dict[str, Any]:
    """The graph with everything a browser adds."""
    exported = copy.deepcopy(graph)
    for node in exported.values():
        node["inputs"] |= WIDGETS.get(node["class_type"], {})
    return exported


def keys_and_reuse(comfy: Comfy, graph: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """Runs the graph; returns the key of the still and of the clip, and whether it was reused."""
    (end,) = [event for event in comfy.run(graph) if isinstance(event, Finished)]
    assert end.status == "success"
    results = {node: end.outputs[node]["checkpoint"][0] for node in ("2", "5")}
    return {node: (result["key"], result["reused"]) for node, result in results.items()}


def test_an_export_reuses_the_results_of_the_driver(comfy: Comfy, graph: dict[str, Any]) -> None:
    rendered = keys_and_reuse(comfy, graph)
    assert [reused for _, reused in rendered.values()] == [False, False]
    assert keys_and_reuse(comfy, as_exported(graph)) == {
        node: (key, True) for node, (key, _) in rendered.items()
    }


def test_an_input_of_the_class_changes_the_key(comfy: Comfy, graph: dict[str, Any]) -> None:
    rendered = keys_and_reuse(comfy, graph)
    graph["4"]["inputs"]["seed"] = 2
    other = keys_and_reuse(comfy, graph)
    assert other["2"][0] == rendered["2"][0]
    assert other["5"][0] != rendered["5"][0]


def test_the_driver_predicts_the_same_keys(comfy: Comfy, graph: dict[str, Any], tmp_path: Path) -> None:
    sums = {
        graph["1"]["inputs"]["image"]: sha256_of(tmp_path / "own.png"),
        graph["3"]["inputs"]["audio"]: sha256_of(tmp_path / "own.wav"),
    }
    scene = SceneId(0, "scene_1")
    # A user's recipe is exported from a browser; among its nodes the driver knows the stock loaders.
    exported = as_exported(graph) | {"4": graph["4"]}
    rendered = {node: key for node, (key, _) in keys_and_reuse(comfy, graph).items()}
    for nodes in (graph, exported):
        assert predict(Graph(nodes, stills={scene: "2"}, clips={scene: "5"}), sums) == rendered
