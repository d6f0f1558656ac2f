"""The route that says what a run would make and why, against the server that then makes it."""

from __future__ import annotations

from typing import Any

import requests

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
    assert changes(plan, "7") == [["clip", "", "", ""]]

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


def test_times_are_measured_and_say_from_how_many_results(studio: Studio) -> None:
    def sized(seed: int) -> dict[str, Any]:
        graph = film(studio, "timed", seed)
        for node in ("1", "4"):
            graph[node]["inputs"]["width"] = 192
        return graph

    plan = ask(studio, sized(1))
    assert plan["measured"] == {"still": 0, "clip": 0, "film": 0} or plan["results"]["2"]["seconds"] is None
    assert plan["results"]["2"]["seconds"] is None and plan["results"]["5"]["seconds"] is None
    render(studio, sized(1))
    plan = ask(studio, sized(2))
    assert plan["measured"]["still"] == plan["measured"]["clip"] == 1
    assert 0 < plan["results"]["2"]["seconds"] < 30 and 0 < plan["results"]["5"]["seconds"] < 30
    assert plan["memory"] is None


def test_a_graph_that_is_not_finished_has_a_plan(studio: Studio) -> None:
    graph = film(studio, "unfinished", 1)
    graph["3"]["inputs"]["audio"] = "missing.wav"
    del graph["6"]["inputs"]["clip"]
    graph["8"] = {"class_type": "NoSuchNode", "inputs": {"a": ["99", 0]}}
    assert makes(ask(studio, graph)) == {"2": True, "5": True, "7": True}
