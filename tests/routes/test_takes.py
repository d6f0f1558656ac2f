"""The route behind the storyboard panel: what a graph would reuse, and the takes of its nodes' names."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
import requests

from driver.files import sha256_of
from story_studio.story.keys import Keys
from story_studio.story.results import Kind
from tests.studio import Studio
from tests.voices import write_voice


def story(studio: Studio, name: str, seed: int, **still: str) -> dict[str, Any]:
    """A draft scene as an API workflow: its Still is node 2, its Clip node 5."""
    voice = write_voice(studio.server.workspace / "input" / "takes.wav", 0.3).name
    card = {"text": name, "heading": "", "width": 64, "height": 64, "seed": seed}
    recording = {"audio": voice}
    animatic = {"audio": ["3", 0], "image": ["2", 0], "width": 64, "height": 64, "seed": 1}
    return {
        "1": {"class_type": "StoryStudio_TitleCard", "inputs": card},
        "2": {"class_type": "StoryStudio_Still", "inputs": {"image": ["1", 0], "name": name, **still}},
        "3": {"class_type": "LoadAudio", "inputs": recording},
        "4": {"class_type": "StoryStudio_Animatic", "inputs": animatic},
        "5": {"class_type": "StoryStudio_Clip", "inputs": {"video": ["4", 0], "name": name}},
    }


def ask(studio: Studio, prompt: Any) -> Any:
    response = requests.post(f"{studio.url}/story_studio/takes", json={"prompt": prompt}, timeout=30)
    assert response.status_code == 200, response.text
    return response.json()


def render(studio: Studio, prompt: dict[str, Any]) -> None:
    prompt_id = requests.post(f"{studio.url}/prompt", json={"prompt": prompt}, timeout=30).json()["prompt_id"]
    while not (history := requests.get(f"{studio.url}/history/{prompt_id}", timeout=30).json()):
        pass
    assert history[prompt_id]["status"]["status_str"] == "success"


NONE: dict[str, Any] = {"file": None, "key": None, "takes": []}
"""The route's entry for a node without results."""


def names(takes: list[dict[str, Any]]) -> list[str]:
    return [take["file"]["filename"] for take in takes]


def test_nothing_is_found_before_a_render_and_everything_after(studio: Studio) -> None:
    first, second = story(studio, "route", 1), story(studio, "route", 2)
    assert ask(studio, first) == {"2": NONE, "5": NONE}
    render(studio, first)
    results = ask(studio, first)
    for node, kind in (("2", "stills"), ("5", "clips")):
        (take,) = results[node]["takes"]
        assert (results[node]["file"], results[node]["key"]) == (take["file"], take["key"])
        assert (studio.server.output / "story_studio" / kind / take["file"]["filename"]).is_file()
        assert take["file"]["filename"].startswith(f"route.{take['key']}.")
        assert requests.get(f"{studio.url}/view", params=take["file"], timeout=30).status_code == 200
    entries = ask(studio, second)
    assert entries["2"]["file"] is None and entries["2"]["takes"] == results["2"]["takes"]
    render(studio, second)
    assert len(ask(studio, second)["5"]["takes"]) == 2


def test_takes_are_newest_first_and_one_can_be_chosen(studio: Studio) -> None:
    for seed in (1, 2):
        render(studio, story(studio, "order", seed))
    before = ask(studio, story(studio, "order", 2))["2"]
    oldest = studio.server.output / "story_studio" / "stills" / names(before["takes"])[0]
    os.utime(oldest, (1, 1))
    after = ask(studio, story(studio, "order", 2))["2"]
    assert names(after["takes"]) == names(before["takes"])[::-1]
    chosen = ask(studio, story(studio, "order", 99, take=after["takes"][1]["key"]))["2"]
    assert chosen["file"]["filename"] == oldest.name


def linked(graph: dict[str, Any]) -> dict[str, Any]:
    """The same graph with the constants of its still and clip linked from primitive nodes."""
    graph = copy.deepcopy(graph)
    for node_id in ("1", "4"):
        for name, value in graph[node_id]["inputs"].items():
            if not isinstance(value, list):
                kind = "PrimitiveString" if isinstance(value, str) else "PrimitiveInt"
                graph[f"{node_id} {name}"] = {"class_type": kind, "inputs": {"value": value}}
                graph[node_id]["inputs"][name] = [f"{node_id} {name}", 0]
    return graph


@pytest.mark.parametrize("first", ["typed", "linked"])
def test_linked_and_typed_constants_find_the_same_results(studio: Studio, first: str) -> None:
    typed = story(studio, f"linked {first}", 31)
    both = [typed, linked(typed)] if first == "typed" else [linked(typed), typed]
    render(studio, both[0])
    results = [ask(studio, graph) for graph in both]
    assert results[0] == results[1]
    assert results[0]["2"]["file"] and results[0]["5"]["file"]
    render(studio, both[1])
    assert ask(studio, both[1]) == results[0]


def test_results_of_version_0_1_0_are_found(studio: Studio) -> None:
    """It had other keys for graphs whose constants are typed; the still and clip are not rendered again."""
    graph = story(studio, "earlier", 32)
    render(studio, graph)
    before = ask(studio, graph)
    sums = {"takes.wav": sha256_of(studio.server.workspace / "input" / "takes.wav")}
    earlier = Keys(
        graph.__getitem__, lambda cls, name: None, lambda node: known_of(node, sums), as_written=True
    )
    for node, kind in (("2", Kind.STILL), ("5", Kind.CLIP)):
        path = studio.server.output / "story_studio" / kind.folder / before[node]["file"]["filename"]
        assert earlier.of(node) not in path.name
        path.rename(path.with_name(kind.file_name("earlier", earlier.of(node))))
    after = ask(studio, graph)
    render(studio, graph)
    assert ask(studio, graph) == after
    for node in ("2", "5"):
        (take,) = after[node]["takes"]
        assert take == {"key": earlier.of(node), "file": after[node]["file"]}


def known_of(node: dict[str, Any], sums: dict[str, str]) -> str:
    """What ComfyUI knows about the file that a node reads."""
    return json.dumps(
        [sums.get(node["inputs"].get("audio", ""), False) if node["class_type"] == "LoadAudio" else False]
    )


@pytest.mark.parametrize("name", ["../../etc/passwd", "*", "[a-z]*", "/", ""])
def test_a_name_reaches_no_other_file(studio: Studio, name: str) -> None:
    render(studio, story(studio, "harmless", 5))
    assert ask(studio, story(studio, name, 6))["2"]["takes"] == []


@pytest.mark.parametrize("take", ["../../x", "*", "0" * 24])
def test_an_unknown_take_is_not_found(studio: Studio, take: str) -> None:
    assert ask(studio, story(studio, "none", 7, take=take))["2"]["file"] is None


def test_other_files_are_not_listed_as_takes(studio: Studio) -> None:
    folder: Path = studio.server.output / "story_studio" / "stills"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "strange.not-a-key.png").write_bytes(b"")
    (folder / f"strange.{'a' * 24}.png").symlink_to("gone")
    assert ask(studio, story(studio, "strange", 8))["2"]["takes"] == []


def test_an_unfinished_graph_finds_nothing(studio: Studio) -> None:
    graph = story(studio, "unfinished", 9)
    graph["3"]["inputs"]["audio"] = "not-there.wav"
    graph["4"]["inputs"]["image"] = ["77", 0]
    graph["2"]["inputs"] = {"image": ["2", 0], "name": ["1", 0]}
    assert ask(studio, graph) == {"2": NONE, "5": NONE}


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", '{"prompt": 1}', '{"prompt": {"1": {}}}', '{"prompt": {"1": 2}}']
)
def test_anything_but_a_workflow_is_refused(studio: Studio, body: str) -> None:
    response = requests.post(f"{studio.url}/story_studio/takes", data=body, timeout=30)
    assert response.status_code == 400
    assert "API workflow" in response.text
