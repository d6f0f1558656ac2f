"""Scenes linked through the film of the contact sheet: stills before clips, and clips in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from driver.comfy.events import Executing, Failed, Finished
from story_studio.media.probe import probe
from tests.studio import Studio
from tests.voices import write_voice

SCENES = ("Keeper", "Sailor", "Morning")


def boxes(studio: Studio, seed: int) -> dict[str, Any]:
    """Three draft scenes as boxes: the clip of a scene comes after the film of the previous one.

    Node `1:card` is the image of the first scene, `1:move` its video, and so on.
    """
    voice = write_voice(studio.server.workspace / "input" / "film_start.wav", 0.3).name
    size = {"width": 64, "height": 64, "seed": seed}
    graph: dict[str, Any] = {"voice": node("LoadAudio", audio=voice)}
    for number, name in enumerate(SCENES, start=1):
        film = [f"{number - 1}:film", 0] if number > 1 else ["sheet", 1]
        board = {"storyboard": [f"{number - 1}:board", 0]} if number > 1 else {}
        box = {
            "card": node("TitleCard", text=name, heading=name, **size),
            "still": node("Still", image=[f"{number}:card", 0], name=name),
            "board": node("Storyboard", still=[f"{number}:still", 0], name=name, prompt=name, **board),
            "move": node("Animatic", audio=["voice", 0], image=[f"{number}:still", 0], after=film, **size),
            "clip": node("Clip", video=[f"{number}:move", 0], name=name),
            "film": node("FilmScene", film=film, clip=[f"{number}:clip", 0], title=name, text=""),
        }
        graph |= {f"{number}:{part}": box_node for part, box_node in box.items()}
    graph["sheet"] = node("ContactSheet", storyboard=[f"{len(SCENES)}:board", 0], title="", name="start")
    graph["film"] = end([f"{len(SCENES)}:film", 0])
    return graph


def node(cls: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": cls if cls == "LoadAudio" else f"StoryStudio_{cls}", "inputs": inputs}


def end(film: list[Any]) -> dict[str, Any]:
    settings = {"join": "cut", "crossfade_seconds": 0.5, "chapters": True, "captions": True}
    return node("Film", film=film, **settings, title="", name="start")


def run(studio: Studio, graph: dict[str, Any], *parts: str) -> tuple[list[str], Finished]:
    """The nodes of these parts in the order in which they started, and the final event."""
    started, failed = [], []
    for event in studio.comfy.run(graph):
        if isinstance(event, Executing) and event.node.partition(":")[2] in parts:
            started.append(event.node)
        if isinstance(event, Failed):
            failed.append(event.message)
        if isinstance(event, Finished):
            assert failed == []
            return started, event
    raise AssertionError("the graph did not finish")


def test_all_stills_come_before_all_clips_and_clips_in_order(studio: Studio, tmp_path: Path) -> None:
    started, finished = run(studio, boxes(studio, 71), "card", "move")
    assert sorted(started[:3]) == ["1:card", "2:card", "3:card"]
    assert started[3:] == ["1:move", "2:move", "3:move"]
    film = studio.comfy.fetch(finished.outputs["film"]["images"][0], tmp_path / "film.mp4")
    assert [chapter[2] for chapter in probe(film).chapters] == list(SCENES)


def test_a_changed_scene_renders_no_other_clip_again(studio: Studio) -> None:
    graph = boxes(studio, 72)
    run(studio, graph)
    graph["2:card"]["inputs"]["text"] = "Someone else"
    started, _ = run(studio, graph, "card", "move")
    # `after` is part of ComfyUI's cache key, but not of the clip's key.
    assert started == ["2:card", "2:move"]


def test_a_film_without_clips_is_refused(studio: Studio) -> None:
    graph = boxes(studio, 73)
    nodes = {name: graph[name] for name in ("1:card", "1:still", "1:board", "sheet")}
    nodes["sheet"]["inputs"]["storyboard"] = ["1:board", 0]
    nodes["film"] = end(["sheet", 1])
    (failed,) = [event for event in studio.comfy.run(nodes) if isinstance(event, Failed)]
    assert failed.node == "film"
    assert "A film needs at least one shot: add a scene." in failed.message


def test_a_film_is_made_again_only_when_a_setting_changes_it(studio: Studio, tmp_path: Path) -> None:
    graph = boxes(studio, 74)
    graph["1:film"]["inputs"] |= {"transition": "dip", "translations": "de: Der Wärter"}
    graph["delivery"] = node(
        "FilmDelivery", format="as rendered", width=96, height=128, fps="24", fit="blur", codec="h264"
    )
    graph["cards"] = node("FilmCards", opening="The Keeper", credits="", card_seconds=0.5, fade_seconds=0.2)
    graph["film"]["inputs"] |= {"delivery": ["delivery", 0], "cards": ["cards", 0], "pause_after": 0.25}
    _, first = run(studio, graph)
    film = studio.comfy.fetch(first.outputs["film"]["images"][0], tmp_path / "film.mp4")
    info = probe(film)
    report = json.loads(info.metadata["story_studio"])
    assert (info.width, info.height, info.fps, info.frames) == (96, 128, 24, report["frames"])
    assert [shot["kind"] for shot in report["shots"]] == ["card", "scene", "scene", "scene"]
    assert [shot["transition"] for shot in report["shots"]] == ["dip", "dip", "cut", "cut"]
    graph["film"]["inputs"] |= {"name": "again", "language": ""}
    _, again = run(studio, graph)
    assert again.outputs["film"]["checkpoint"] == [first.outputs["film"]["checkpoint"][0] | {"reused": True}]
    graph["2:film"]["inputs"]["pause_after"] = 0.0
    _, other = run(studio, graph)
    assert other.outputs["film"]["checkpoint"][0]["key"] != first.outputs["film"]["checkpoint"][0]["key"]


@pytest.mark.parametrize("translations", ["Guten Tag", "de: Guten Tag\nde: Auf Wiedersehen"])
def test_translations_say_their_language(studio: Studio, translations: str) -> None:
    graph = boxes(studio, 73)
    graph["1:film"]["inputs"]["translations"] = translations
    (failed,) = [event for event in studio.comfy.run(graph) if isinstance(event, Failed)]
    assert failed.node == "1:film"
    assert (
        "translations: 'de' is given twice" in failed.message or "such as `de: Guten Tag`" in failed.message
    )
