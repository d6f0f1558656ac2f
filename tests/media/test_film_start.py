"""The film that comes out of the contact sheet: all stills come before all clips, and clips in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from driver.comfy.events import Executing, Failed, Finished
from story_studio.media.probe import probe
from tests.studio import Studio
from tests.voices import write_voice

SCENES = ("Keeper", "Sailor", "Morning")


def boxes(studio: Studio, seed: int) -> dict[str, Any]:
    """Three draft scenes as the boxes hold them: a scene's film is what its clip comes after.

    Node `1:card` is the first scene's picture, `1:move` its video, and so on; `sheet` and `film` are the end.
    """
    voice = write_voice(studio.server.workspace / "input" / "film_start.wav", 0.3).name
    size = {"width": 64, "height": 64, "seed": seed}
    graph: dict[str, Any] = {"voice": node("LoadAudio", audio=voice)}
    for number, name in enumerate(SCENES, start=1):
        before = {entry: [f"{number - 1}:{entry}", 0] for entry in ("board", "film")} if number > 1 else {}
        film = before.get("film", ["sheet", 1])
        board = {"storyboard": before["board"]} if before else {}
        box = {
            "card": node("TitleCard", text=name, heading=name, **size),
            "still": node("Still", image=[f"{number}:card", 0], name=name),
            "board": node("Storyboard", still=[f"{number}:still", 0], name=name, prompt=name, **board),
            "move": node("Animatic", audio=["voice", 0], image=[f"{number}:still", 0], after=film, **size),
            "clip": node("Clip", video=[f"{number}:move", 0], name=name),
            "film": node("FilmScene", film=film, clip=[f"{number}:clip", 0], title=name, text=""),
        }
        graph |= {f"{number}:{part}": one for part, one in box.items()}
    graph["sheet"] = node("ContactSheet", storyboard=[f"{len(SCENES)}:board", 0], title="", name="start")
    graph["film"] = end([f"{len(SCENES)}:film", 0])
    return graph


def node(cls: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": cls if cls == "LoadAudio" else f"StoryStudio_{cls}", "inputs": inputs}


def end(film: list[Any]) -> dict[str, Any]:
    settings = {"join": "cut", "crossfade_seconds": 0.5, "chapters": True, "captions": True}
    return node("Film", film=film, **settings, title="", name="start")


def run(studio: Studio, graph: dict[str, Any], *parts: str) -> tuple[list[str], Finished]:
    """The nodes of these parts of boxes in the order in which they began, and the end."""
    begun, failed = [], []
    for event in studio.comfy.run(graph):
        if isinstance(event, Executing) and event.node.partition(":")[2] in parts:
            begun.append(event.node)
        if isinstance(event, Failed):
            failed.append(event.message)
        if isinstance(event, Finished):
            assert failed == []
            return begun, event
    raise AssertionError("the graph has not ended")


def test_all_stills_come_before_all_clips_and_clips_in_order(studio: Studio, tmp_path: Path) -> None:
    begun, ended = run(studio, boxes(studio, 71), "card", "move")
    assert sorted(begun[:3]) == ["1:card", "2:card", "3:card"]
    assert begun[3:] == ["1:move", "2:move", "3:move"]
    film = studio.comfy.fetch(ended.outputs["film"]["images"][0], tmp_path / "film.mp4")
    assert [chapter[2] for chapter in probe(film).chapters] == list(SCENES)


def test_one_changed_scene_makes_no_other_clip_again(studio: Studio) -> None:
    graph = boxes(studio, 72)
    run(studio, graph)
    graph["2:card"]["inputs"]["text"] = "Someone else"
    begun, _ = run(studio, graph, "card", "move")
    # The order is part of ComfyUI's own cache, but not of what a clip is made from.
    assert begun == ["2:card", "2:move"]


def test_a_film_without_clips_is_refused(studio: Studio) -> None:
    graph = boxes(studio, 73)
    kept = {name: graph[name] for name in ("1:card", "1:still", "1:board", "sheet")}
    kept["sheet"]["inputs"]["storyboard"] = ["1:board", 0]
    kept["film"] = end(["sheet", 1])
    (failed,) = [event for event in studio.comfy.run(kept) if isinstance(event, Failed)]
    assert failed.node == "film"
    assert "A film needs at least one shot." in failed.message
