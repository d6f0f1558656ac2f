"""Workflows from anywhere, posted to each route of the panel: an answer or a reason, and never a fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.studio import Studio

ROUTES = ("story", "scenes", "takes", "plan", "films", "voice", "bundle", "first_seconds", "settings")
STORY = {"project_id": "a", "profile": "draft", "scenes": [{"id": "a", "prompt": "A", "audio": "a.wav"}]}
MORE = {
    "keys": {},
    "parts": ["film", "story"],
    "clip": "clip",
    "seconds": 2,
    "story": STORY,
    "settings": ["size", "seed", "still_steps"],
}
"""What some of the routes need besides the workflow."""


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def ours(kind: str, **inputs: Any) -> dict[str, Any]:
    return node(f"StoryStudio_{kind}", **inputs)


def mistyped() -> list[dict[str, Any]]:
    """Links that lead nowhere or in circles, and values of any type."""
    kinds = ["Still", "Clip", "FilmScene", "Film", "Storyboard", "ContactSheet", "TitleCard", "Animatic"]
    names = ["image", "video", "clip", "film", "still", "storyboard", "audio", "name", "title", "prompt"]
    names += ["text", "seed", "steps", "cfg", "width", "height", "take", "positive", "negative", "join"]
    others: list[Any] = [["gone", 0], None, 1e300, -1, True, "", "\ud800", [], {}, [1, 2, 3], [["1"], 0]]
    graphs = []
    for shift in range(3 * len(kinds)):
        # Links to two nodes at a time: with more, the graph is refused as too entangled, and not read.
        places = {shift % len(kinds), shift * 3 % len(kinds)}
        values = [*others, *([str(place), 0] for place in places)]
        graphs.append(
            {
                str(number): ours(
                    kind,
                    **{
                        name: values[(shift * (place + 1) + number) % len(values)]
                        for place, name in enumerate(names)
                    },
                )
                for number, kind in enumerate(kinds)
            }
        )
    odd = {"1": {"class_type": "\ud800", "inputs": {"\ud800": "\ud800"}}, "": graphs[-1]["0"]}
    return [*graphs, odd]


def a_story(voice: dict[str, Any], **card: Any) -> dict[str, Any]:
    """A draft of one scene."""
    return {
        "voice": voice,
        "card": ours(
            "TitleCard", **{"text": "A", "heading": "A", "width": 64, "height": 64, "seed": 1, **card}
        ),
        "still": ours("Still", image=["card", 0], name="a"),
        "talk": ours("Animatic", image=["still", 0], audio=["voice", 0], width=64, height=64, seed=1),
        "clip": ours("Clip", video=["talk", 0], name="a"),
        "scene": ours("FilmScene", clip=["clip", 0], title="A"),
        "film": ours("Film", film=["scene", 0], name="film"),
    }


def prompts_of_prompts() -> list[dict[str, Any]]:
    """Scene Prompts that are made from each other, again and again, and one that is made from itself."""
    chain = {
        str(number): ours(
            "ScenePrompt", prompt=[str(number + 1), 0], style=[str(number + 1), 0], weights=True
        )
        for number in range(60)
    }
    chain["60"] = node("PrimitiveStringMultiline", value="x")
    silence = node("EmptyAudio", duration=1)
    circle = a_story(silence, text=["own", 0])
    circle["own"] = ours("ScenePrompt", prompt=["own", 0], style=["own", 0], weights=True)
    return [a_story(silence, text=["0", 0]) | chain, circle]


def orders_of_orders() -> list[dict[str, Any]]:
    """In Order nodes, each of which asks for the next one many times; the last one for itself."""
    graph = a_story(node("EmptyAudio", duration=1))
    for level in range(30):
        links = {f"input_{number}": [f"order {min(level + 1, 29)}", 0] for number in range(1, 17)}
        graph[f"order {level}"] = ours("InOrder", **links)
    graph["film"]["inputs"]["film"] = ["order 0", 0]
    return [graph]


def long_film() -> list[dict[str, Any]]:
    graph: dict[str, Any] = {
        str(number): ours("FilmScene", film=[str(number - 1), 0], clip=["gone", 0])
        for number in range(20_000)
    }
    return [graph | {"film": ours("Film", film=["19999", 0], name="film")}]


def odd_files() -> list[dict[str, Any]]:
    names = [
        "a\0b.wav",
        "x" * 300 + ".wav",
        "data:audio/wav;base64,UklGRg==",
        "../../etc/passwd",
        "",
        "/",
        ".",
    ]
    return [a_story(node("LoadAudio", audio=name)) for name in names]


def odd_numbers() -> list[dict[str, Any]]:
    values = [float("nan"), float("inf"), 10**400, -(10**400), 1e300]
    return [a_story(node("EmptyAudio", duration=value), seed=value, width=value) for value in values]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "graphs", [mistyped, prompts_of_prompts, orders_of_orders, long_film, odd_files, odd_numbers]
)
def test_no_workflow_is_a_fault_of_the_server(
    studio: Studio, route: str, graphs: Callable[[], list[dict[str, Any]]]
) -> None:
    for graph in graphs():
        url = f"{studio.url}/story_studio/{route}"
        data = json.dumps({"prompt": graph, **MORE})
        response = requests.post(url, data=data, headers={"Content-Type": "application/json"}, timeout=60)
        assert response.status_code in (200, 400), response.text
        # As browsers read it: NaN is no JSON.
        json.loads(response.content, parse_constant=pytest.fail)
