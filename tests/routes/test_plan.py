"""The route that says what a run would make and why, against the server that then makes it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from story_studio.story.results import STORE
from tests.routes.test_takes import render, story
from tests.studio import Studio


def ask(studio: Studio, prompt: Any) -> Any:
    response = requests.post(f"{studio.url}/story_studio/plan", json={"prompt": prompt}, timeout=30)
    assert response.status_code == 200, response.text
    return response.json()


def film(studio: Studio, name: str, seed: int) -> dict[str, Any]:
    """A draft scene, its Still node 2 and its Clip node 5, in a film, node 7."""
    scene = {"clip": ["5", 0], "title": name, "text": ""}
    whole = {"film": ["6", 0], "join": "cut", "crossfade_seconds": 0.5, "chapters": True, "captions": False}
    return {
        **story(studio, name, seed),
        "6": {"class_type": "StoryStudio_FilmScene", "inputs": scene},
        "7": {"class_type": "StoryStudio_Film", "inputs": {**whole, "title": name, "name": name}},
    }


def makes(plan: Any) -> dict[str, bool]:
    return {node: result["makes"] for node, result in plan["results"].items()}


def changes(plan: Any, node: str) -> list[list[str]]:
    why = plan["results"][node]["why"]
    assert why["before"]
    return [[change["what"], change["name"], change["before"], change["after"]] for change in why["changes"]]


def test_what_a_run_makes_and_why(studio: Studio) -> None:
    first = film(studio, "planned", 1)
    plan = ask(studio, first)
    assert makes(plan) == {"2": True, "5": True, "7": True}
    assert all(result["why"] == {"before": False, "changes": []} for result in plan["results"].values())
    render(studio, first)
    plan = ask(studio, first)
    assert makes(plan) == {"2": False, "5": False, "7": False}

    seed = film(studio, "planned", 2)
    seed["1"]["inputs"]["text"] = "other words"
    plan = ask(studio, seed)
    assert makes(plan) == {"2": True, "5": True, "7": True}
    assert sorted(changes(plan, "2")) == [
        ["prompt", "", "planned", "other words"],
        ["seed", "", "1", "2"],
    ]
    assert changes(plan, "5") == [["still", "", "", ""]]
    assert changes(plan, "7") == [["scenes", "1", "", ""]]

    size = film(studio, "planned", 1)
    size["4"]["inputs"]["width"] = 128
    plan = ask(studio, size)
    assert makes(plan) == {"2": False, "5": True, "7": True}
    assert changes(plan, "5") == [["setting", "width", "64", "128"]]

    join = film(studio, "planned", 1)
    join["7"]["inputs"]["join"] = "crossfade"
    plan = ask(studio, join)
    assert makes(plan) == {"2": False, "5": False, "7": True}
    assert changes(plan, "7") == [["setting", "join", "cut", "crossfade"]]


def test_a_film_says_which_scenes_and_settings_it_lacks(studio: Studio) -> None:
    """A scene is put before the one that was there, which is the same as before."""
    graph = film(studio, "lacks", 1)
    render(studio, graph)
    graph |= {f"1{node}": content for node, content in film(studio, "lacks more", 2).items() if node != "7"}
    for node in ("12", "14", "15", "16"):
        inputs = graph[node]["inputs"]
        inputs |= {name: [f"1{value[0]}", 0] for name, value in inputs.items() if isinstance(value, list)}
    graph["6"]["inputs"]["film"] = ["16", 0]
    graph["7"]["inputs"] |= {"join": "dip"}
    found = ask(studio, graph)
    assert changes(found, "7") == [["new scenes", "1", "", ""], ["setting", "join", "cut", "dip"]]
    without = film(studio, "lacks", 1)
    without["6"]["inputs"]["title"] = "another title"
    assert changes(ask(studio, without), "7") == [["scenes", "1", "", ""]]


def test_a_take_that_has_let_go_is_no_reason_and_hides_none(studio: Studio) -> None:
    graph = film(studio, "let go", 1)
    render(studio, graph)
    taken = requests.post(f"{studio.url}/story_studio/takes", json={"prompt": graph}, timeout=30).json()["2"]
    held = film(studio, "let go", 1)
    held["2"]["inputs"]["take"] = f"{taken['key']}@{taken['own']}"
    assert makes(ask(studio, held)) == {"2": False, "5": False, "7": False}
    held["1"]["inputs"]["text"] = "other words"
    plan = ask(studio, held)
    assert makes(plan) == {"2": True, "5": True, "7": True}
    assert changes(plan, "2") == [["prompt", "", "let go", "other words"]]
    assert changes(plan, "5") == [["still", "", "", ""]]


def times(studio: Studio) -> list[dict[str, Any]]:
    """How long results took, the latest last, as the server remembers it."""
    text = (studio.server.output / STORE / ".times.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def sized(studio: Studio, seed: int) -> dict[str, Any]:
    """A film whose still and clip have settings that no other test has."""
    graph = film(studio, "timed", seed)
    for node in ("1", "4"):
        graph[node]["inputs"]["width"] = 192
    return graph


def test_times_are_estimated_from_what_was_measured(studio: Studio) -> None:
    results = ask(studio, sized(studio, 1))["results"]
    assert results["2"]["seconds"] is None and results["5"]["seconds"] is None
    render(studio, sized(studio, 1))
    path, before = studio.server.output / STORE / ".times.jsonl", times(studio)
    made = {entry["kind"]: entry for entry in before[-3:]}
    assert [*made] == ["still", "clip", "film"] and all(entry["first"] for entry in made.values())
    still, clip, whole = made["still"], made["clip"], made["film"]
    assert (still["work"], whole["work"]) == (1, 1)
    later = {"first": False}
    # The clip is of a recording of twice the length, and what is no time does not count.
    known = [still | {"seconds": 10}, *(still | later | {"seconds": one} for one in (4, 6))]
    known += [clip | later | {"seconds": 3, "work": clip["work"] * 2}, whole | {"seconds": 2}]
    known += [whole | {"seconds": 0.0}, whole | {"seconds": 100, "work": float("nan")}]
    try:
        path.write_text("".join(f"{json.dumps(entry)}\n" for entry in known) + '{"kind": "film", ', "utf-8")
        plan = ask(studio, sized(studio, 2))
    finally:
        path.write_text("".join(f"{json.dumps(entry)}\n" for entry in before), "utf-8")
    assert [plan["results"][node]["seconds"] for node in ("2", "5", "7")] == [5, 1.5, 2]
    assert plan["load"] == {"still": 5, "clip": 0, "film": 0}
    assert plan["measured"] == {"still": 3, "clip": 1, "film": 1}
    assert plan["memory"] is None


def test_a_film_that_is_made_alone_is_measured(studio: Studio) -> None:
    graph = film(studio, "alone", 1)
    render(studio, graph)
    count = len(times(studio))
    graph["7"]["inputs"]["join"] = "dip"
    render(studio, graph)
    (entry,) = times(studio)[count:]
    assert entry["kind"] == "film" and entry["seconds"] > 0


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "1" * 400])
def test_what_is_no_number_is_refused(studio: Studio, number: str) -> None:
    graph = film(studio, "numbers", 1)
    graph["1"]["inputs"]["seed"] = graph["4"]["inputs"]["width"] = "NUMBER"
    body = json.dumps({"prompt": graph, "file": "takes.wav", "start": 0, "end": "NUMBER"})
    for route in ("plan", "takes", "films", "voice", "voice/cut", "bundle", "story"):
        url, data = f"{studio.url}/story_studio/{route}", body.replace('"NUMBER"', number)
        response = requests.post(url, data=data, headers={"Content-Type": "application/json"}, timeout=30)
        assert response.status_code == 400, route


def test_a_recording_of_endless_length_has_a_plan(studio: Studio) -> None:
    graph = film(studio, "endless", 1)
    graph["3"] = {"class_type": "EmptyAudio", "inputs": {"duration": 1e308, "sample_rate": 8, "channels": 1}}
    graph["4"] |= {"class_type": "StoryStudio_TalkingVideo"}
    assert ask(studio, graph)["results"]["5"]["seconds"] is None


def test_a_graph_that_is_not_finished_has_a_plan(studio: Studio) -> None:
    graph = film(studio, "unfinished", 1)
    graph["3"]["inputs"]["audio"] = "missing.wav"
    del graph["6"]["inputs"]["clip"]
    graph["8"] = {"class_type": "NoSuchNode", "inputs": {"a": ["99", 0]}}
    assert makes(ask(studio, graph)) == {"2": True, "5": True, "7": True}
