"""What the panel gets in order to edit the scenes of a workflow."""

from __future__ import annotations

from typing import Any

from story_studio.story.editing import editable_panel_of

NAMES = ["Keeper", "Sailor", "Morning"]


def workflow(order: str = "012", film: str | None = None) -> dict[str, Any]:
    """A draft of three scenes, chained in this order; `film` is the number of the scene that it ends with."""
    nodes: dict[str, Any] = {
        "sheet": {
            "class_type": "StoryStudio_ContactSheet",
            "inputs": {"storyboard": [f"board{order[-1]}", 0]},
        },
        "end": {"class_type": "StoryStudio_Film", "inputs": {"film": [f"join{film or order[-1]}", 0]}},
    }
    for place, number in enumerate(map(int, order)):
        nodes |= scene(number, int(order[place - 1]) if place else None)
    return nodes


def scene(number: int, before: int | None) -> dict[str, Any]:
    name = NAMES[number]
    join = {"clip": [f"clip{number}", 0], "title": name, "text": f"Says {name}."}
    board = {"still": [f"still{number}", 0], "name": name, "prompt": f"a {name}"}
    if before is not None:
        join["film"], board["storyboard"] = [f"join{before}", 0], [f"board{before}", 0]
    encode = {"clip": ["models", 0], "text": ""}
    nodes = {
        "card": ("StoryStudio_TitleCard", {"text": f"a {name}", "heading": name}),
        "still": ("StoryStudio_Still", {"image": [f"card{number}", 0], "name": name}),
        "board": ("StoryStudio_Storyboard", board),
        "voice": ("LoadAudio", {"audio": "voice.wav"}),
        "avoid": ("CLIPTextEncode", {"clip": ["models", 0], "text": "blurry"}),
        "move": ("CLIPTextEncode", encode),
        "talk": (
            "StoryStudio_TalkingVideo",
            {
                "audio": [f"voice{number}", 0],
                "negative": [f"avoid{number}", 0],
                "positive": [f"move{number}", 0],
                "image": [f"still{number}", 0],
            },
        ),
        "clip": ("StoryStudio_Clip", {"video": [f"talk{number}", 0], "name": name}),
        "join": ("StoryStudio_FilmScene", join),
    }
    return {f"{key}{number}": {"class_type": cls, "inputs": inputs} for key, (cls, inputs) in nodes.items()}


def test_each_scene_says_where_it_is_chained_and_where_its_words_are_typed() -> None:
    first = editable_panel_of(workflow())["scenes"][0]
    assert first["joins"] == {"film": "join0", "storyboard": "board0"}
    assert (first["in_film"], first["circle"], first["voice"]) == (True, False, "voice0")
    assert first["fields"] == {
        "title": {"id": "join0", "input": "title", "also": [{"id": "board0", "input": "name"}]},
        "prompt": {"id": "card0", "input": "text", "also": [{"id": "board0", "input": "prompt"}]},
        "text": {"id": "join0", "input": "text", "also": []},
        "movement": {"id": "move0", "input": "text", "also": []},
    }


def test_words_that_are_put_together_from_several_nodes_cannot_be_typed() -> None:
    nodes = workflow()
    nodes["both"] = {"class_type": "StringConcatenate", "inputs": {"string_a": "a", "string_b": "b"}}
    nodes["one"] = {"class_type": "PrimitiveString", "inputs": {"value": "calm"}}
    nodes["join0"]["inputs"]["text"] = ["both", 0]
    nodes["move0"]["inputs"]["text"] = ["one", 0]
    fields = editable_panel_of(nodes)["scenes"][0]["fields"]
    assert fields["text"] is None
    assert fields["movement"]["id"] == "move0"
    # A prompt with the story's style is typed apart from it.
    styled = {"prompt": "calm", "style": ["both", 0]}
    nodes["styled"] = {"class_type": "StoryStudio_ScenePrompt", "inputs": styled}
    nodes["move0"]["inputs"]["text"] = ["styled", 0]
    movement = editable_panel_of(nodes)["scenes"][0]["fields"]["movement"]
    assert movement == {"id": "styled", "input": "prompt", "also": []}


def test_scenes_outside_of_the_film_come_last() -> None:
    nodes = {**scene(2, None), **workflow("01")}
    panel = editable_panel_of(nodes)
    assert [(one["name"], one["in_film"]) for one in panel["scenes"]] == [
        ("Keeper", True),
        ("Sailor", True),
        ("Morning", False),
    ]
    assert panel["owners"]["card2"] == (2, "still") and panel["owners"]["talk0"] == (0, "clip")
    del nodes["end"]
    assert all(one["in_film"] for one in editable_panel_of(nodes)["scenes"]), "there is no film to be in"


def test_scenes_in_a_circle_are_shown_as_such_and_in_order() -> None:
    nodes = workflow()
    nodes["join0"]["inputs"]["film"] = ["join2", 0]
    nodes |= {key: value for key, value in scene(0, None).items() if key == "board0"}
    scenes = editable_panel_of(nodes)["scenes"]
    assert [one["name"] for one in scenes] == NAMES
    assert [one["circle"] for one in scenes] == [True] * 3
    # What only leads there is no part of the circle.
    nodes["join0"]["inputs"]["film"] = ["join1", 0]
    assert [one["circle"] for one in editable_panel_of(nodes)["scenes"]] == [True, True, False]
