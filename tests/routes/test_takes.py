"""The route behind the storyboard panel: what a graph would reuse, and the takes of its nodes' names."""

from __future__ import annotations

import copy
import json
import os
import re
from datetime import UTC, datetime
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


def ask(studio: Studio, prompt: Any, **more: str) -> Any:
    body = {"prompt": prompt, **more}
    response = requests.post(f"{studio.url}/story_studio/takes", json=body, timeout=30)
    assert response.status_code == 200, response.text
    return response.json()


def render(studio: Studio, prompt: dict[str, Any], workflow_id: str = "") -> Any:
    """Renders a workflow, as the page of ComfyUI sends it with an id; returns its entry in the history."""
    extra = {"extra_pnginfo": {"workflow": {"id": workflow_id}}} if workflow_id else {}
    body = {"prompt": prompt, "extra_data": extra}
    response = requests.post(f"{studio.url}/prompt", json=body, timeout=30)
    assert response.status_code == 200, response.text
    prompt_id = response.json()["prompt_id"]
    entry = studio.ended(prompt_id)
    assert entry["status"]["status_str"] == "success"
    return entry


def found(entry: dict[str, Any]) -> tuple[Any, Any, Any]:
    """What the route says of the results of a node."""
    return entry["file"], entry["key"], entry["takes"]


NONE = (None, None, [])
"""For a node without results."""


def names(takes: list[dict[str, Any]]) -> list[str]:
    return [take["file"]["filename"] for take in takes]


def test_nothing_is_found_before_a_render_and_everything_after(studio: Studio) -> None:
    first, second = story(studio, "route", 1), story(studio, "route", 2)
    before = ask(studio, first)
    assert found(before["2"]) == found(before["5"]) == NONE
    render(studio, first)
    results = ask(studio, first)
    assert all(results[node]["key"] == results[node]["own"] == before[node]["own"] for node in ("2", "5"))
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


def test_a_recording_that_is_replaced_is_read_again(studio: Studio) -> None:
    prompt = story(studio, "replaced", 1)
    before = [ask(studio, prompt)["5"]["own"] for _ in range(2)]
    write_voice(studio.server.workspace / "input" / "takes.wav", 0.4)
    replaced = ask(studio, prompt)["5"]["own"]
    assert before == [before[0]] * 2 and replaced not in (None, before[0])
    assert ask(studio, story(studio, "replaced", 1))["5"]["own"] == before[0]


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


def test_each_take_says_what_it_was_made_from(studio: Studio) -> None:
    for seed in (41, 42):
        render(studio, story(studio, "origin", seed))
    entries = ask(studio, story(studio, "origin", 43))
    assert [(take["seed"], take["prompt"]) for take in entries["2"]["takes"]] == [
        (42, "origin"),
        (41, "origin"),
    ]
    assert {take["seed"] for take in entries["5"]["takes"]} == {1}
    assert (entries["2"]["seed"], entries["2"]["prompt"], entries["5"]["seed"]) == (43, "origin", 1)
    dates = [datetime.fromisoformat(take["date"]) for take in entries["2"]["takes"]]
    assert dates == sorted(dates, reverse=True)
    assert abs((datetime.now(UTC) - dates[0]).total_seconds()) < 600


def test_a_scene_that_is_renamed_keeps_its_takes(studio: Studio) -> None:
    for seed in (61, 62):
        render(studio, story(studio, "first-name", seed), "film of names")
    graph = story(studio, "first-name", 61)
    before = ask(studio, graph, workflow_id="film of names")["2"]
    graph["2"]["inputs"]["name"] = "another-name"
    after = ask(studio, graph, workflow_id="film of names")["2"]
    assert after["file"] == before["file"] and len(before["takes"]) == 2
    assert sorted(names(after["takes"])) == sorted(names(before["takes"]))
    # Unless another scene has that name now: they are its own.
    graph |= {"7": {"class_type": "StoryStudio_Still", "inputs": {"image": ["1", 0], "name": "first-name"}}}
    assert names(ask(studio, graph, workflow_id="film of names")["2"]["takes"]) == names([after["takes"][0]])


def test_a_pin_lets_go_when_its_graph_changes(studio: Studio) -> None:
    """The route, the node and what is made from it agree."""
    first, second = story(studio, "pin", 51), story(studio, "pin", 52)
    for graph in (first, second):
        render(studio, graph)
    take, own = ask(studio, first)["2"]["key"], ask(studio, second)["2"]["own"]
    pinned = story(studio, "pin", 52, take=f"{take}@{own}")
    entries = ask(studio, pinned)
    assert entries["2"]["pin"] == {"key": take, "always": False, "holds": True, "exists": True}
    assert (entries["2"]["key"], entries["2"]["own"]) == (take, own)
    assert entries["5"]["key"] == ask(studio, first)["5"]["key"], "its clip was made before"
    about = render(studio, pinned)["outputs"]["2"]
    assert (about["checkpoint"][0]["key"], about.get("warnings")) == (take, None)

    changed = story(studio, "pin", 53, take=f"{take}@{own}")
    changed["2"]["inputs"]["name"] = "renamed"
    assert ask(studio, changed)["2"]["takes"][0]["key"] == take
    pin = ask(studio, changed)["2"]["pin"]
    assert pin == {"key": take, "always": False, "holds": False, "exists": True}
    about = render(studio, changed)["outputs"]["2"]
    own = ask(studio, changed)["2"]["own"]
    assert about["checkpoint"][0] == {"key": own, "reused": False}
    assert take in about["warnings"][0] and "not used" in about["warnings"][0]

    always = ask(studio, story(studio, "pin", 53, take=take))["2"]
    assert always["pin"] == {"key": take, "always": True, "holds": True, "exists": True}
    assert (always["key"], always["own"]) == (take, own)
    gone = ask(studio, story(studio, "pin", 53, take="0" * 24))["2"]
    assert gone["pin"] == {"key": "0" * 24, "always": True, "holds": True, "exists": False}


def in_film(graph: dict[str, Any], name: str) -> dict[str, Any]:
    """The scene in a film of this name."""
    film = {"name": name, "film": ["6", 0], "join": "cut", "crossfade_seconds": 0.5, "title": ""}
    film |= {"chapters": True, "captions": False}
    scene = {"clip": ["5", 0], "title": "", "text": ""}
    return graph | {
        "6": {"class_type": "StoryStudio_FilmScene", "inputs": scene},
        "7": {"class_type": "StoryStudio_Film", "inputs": film},
    }


def test_takes_of_other_films_are_left_out(studio: Studio) -> None:
    """A film is known by its name; one with the name that the node has by itself, by its workflow."""

    def other(seed: int, text: str = "") -> dict[str, Any]:
        graph = story(studio, "shared", seed)
        graph["1"]["inputs"]["text"] = text or f"Scene {seed}"
        return graph

    films = [("Harbour", ""), ("Mountain", ""), ("film", "first"), ("film", "second")]
    for seed, (film, workflow) in enumerate(films, start=61):
        render(studio, in_film(other(seed), film), workflow)
    render(studio, other(60))

    def seeds(film: str, workflow: str) -> set[int]:
        asked = in_film(other(69), film)
        return {take["seed"] for take in ask(studio, asked, workflow_id=workflow)["2"]["takes"]}

    for seed, (film, workflow) in enumerate(films, start=61):
        assert seeds(film, workflow) == {seed, 60}, "its own, and the one that belongs to no film"
    assert seeds("Harbour", "second") == {61, 64, 60}, "a film that was named later keeps its takes"
    assert seeds("film", "") == {60, 61, 62, 63, 64}, "nothing tells films apart"
    same = ask(studio, in_film(other(68, "Scene 62"), "Harbour"))["2"]["takes"]
    assert {take["seed"] for take in same} == {60, 61, 62}, "a scene with the same prompt is the same scene"


def test_scenes_whose_files_have_the_same_name_have_takes_of_their_own(studio: Studio) -> None:
    def both(titles: tuple[str, str], seed: int, words: str = "") -> dict[str, Any]:
        first, second = (story(studio, title, seed) for title in titles)
        first["1"]["inputs"]["text"], second["1"]["inputs"]["text"] = f"A lamp {words}", "A boat"
        second = json.loads(re.sub(r'"(\d)"', r'"1\1"', json.dumps(second)))
        return first | second

    # A file's name keeps only Latin letters, and titles may be equal.
    for number, titles in enumerate([("\u706f\u5854", "\u6c34\u624b"), ("twin", "twin")]):
        flow = f"flow-{number}"
        for seed in (301 + 10 * number, 302 + 10 * number):
            render(studio, both(titles, seed), flow)
        # The prompt of one of them is changed: its earlier takes stay its own.
        results = ask(studio, both(titles, 302 + 10 * number, "at dusk"), workflow_id=flow)
        prompts = {node: {take["prompt"] for take in results[node]["takes"]} for node in ("2", "12")}
        assert prompts == {"2": {"A lamp "}, "12": {"A boat"}}
        assert [len(results[node]["takes"]) for node in ("2", "12", "5", "15")] == [2] * 4


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
        assert (take["key"], take["file"]) == (earlier.of(node), after[node]["file"])


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
    entries = ask(studio, graph)
    assert found(entries["2"]) == found(entries["5"]) == NONE
    assert entries["2"]["own"] is entries["5"]["own"] is None


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", '{"prompt": 1}', '{"prompt": {"1": {}}}', '{"prompt": {"1": 2}}']
)
def test_anything_but_a_workflow_is_refused(studio: Studio, body: str) -> None:
    response = requests.post(f"{studio.url}/story_studio/takes", data=body, timeout=30)
    assert response.status_code == 400
    assert "API workflow" in response.text
