"""The routes of the film: its state from the graph alone, its captions, and all results as one file."""

from __future__ import annotations

import copy
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from typing import Any

import pytest
import requests

from driver.paths import COMFYUI, ROOT
from story_studio.story.results import STORE, Kind
from tests.routes.test_takes import render
from tests.studio import Studio
from tests.voices import write_voice

TEXTS = ["The first text.", "The second text."]


def story(studio: Studio, name: str, workflow: str = "") -> dict[str, Any]:
    """Two draft scenes as an API workflow: 1x belongs to the first, 2x to the second, the film is 9."""
    voice = write_voice(studio.server.workspace / "input" / "films.wav", 0.3).name
    nodes: dict[str, Any] = {"8": {"class_type": "LoadAudio", "inputs": {"audio": voice}}}
    for number, text in enumerate(TEXTS, 1):
        card = {"text": f"{name} {number}", "heading": "", "width": 64, "height": 64, "seed": 1}
        talk = {"audio": ["8", 0], "image": [f"{number}2", 0], "width": 64, "height": 64, "seed": 1}
        scene = {"clip": [f"{number}4", 0], "title": f"Scene {number}", "text": text}
        before = {"film": [f"{number - 1}5", 0]} if number > 1 else {}
        nodes |= {
            f"{number}1": {"class_type": "StoryStudio_TitleCard", "inputs": card},
            f"{number}2": {
                "class_type": "StoryStudio_Still",
                "inputs": {"image": [f"{number}1", 0], "name": name},
            },
            f"{number}3": {"class_type": "StoryStudio_Animatic", "inputs": talk},
            f"{number}4": {
                "class_type": "StoryStudio_Clip",
                "inputs": {"video": [f"{number}3", 0], "name": name},
            },
            f"{number}5": {"class_type": "StoryStudio_FilmScene", "inputs": {**scene, **before}},
        }
    film = {"film": ["25", 0], "join": "cut", "crossfade_seconds": 0.5, "chapters": True, "captions": True}
    nodes["9"] = {"class_type": "StoryStudio_Film", "inputs": {**film, "title": "A film", "name": name}}
    return nodes


def ask(studio: Studio, prompt: Any, workflow: str = "", route: str = "films", **more: Any) -> Any:
    body = {"prompt": prompt, "workflow": workflow, **more}
    response = requests.post(f"{studio.url}/story_studio/{route}", json=body, timeout=30)
    assert response.status_code == 200, response.text
    return response.json()


def state(studio: Studio, prompt: Any, workflow: str = "") -> str:
    return ask(studio, prompt, workflow)["9"]["state"]


def queue(studio: Studio, prompt: Any, workflow: str) -> None:
    """Renders as a page does."""
    body = {"prompt": prompt, "extra_data": {"extra_pnginfo": {"workflow": {"id": workflow}}}}
    prompt_id = requests.post(f"{studio.url}/prompt", json=body, timeout=30).json()["prompt_id"]
    studio.ended(prompt_id)


NOTHING = {"scenes": [], "added": [], "removed": [], "order": False, "settings": False}


def test_a_film_is_missing_then_up_to_date_then_out_of_date_and_why(studio: Studio) -> None:
    first = story(studio, "film-state")
    assert ask(studio, first)["9"] == {
        "state": "missing",
        "film": None,
        "changes": None,
        "clips": ["14", "24"],
        "problem": None,
    }
    render(studio, first)
    made = ask(studio, first)["9"]
    assert made["state"] == "current"
    assert [chapter["title"] for chapter in made["film"]["chapters"]] == ["Scene 1", "Scene 2"]
    assert made["film"]["chapters"][-1]["end"] == pytest.approx(made["film"]["seconds"], abs=0.05)
    changes = {
        "the prompt of a scene": ({"21": {"text": "Another"}}, {"scenes": [1]}),
        "the text of a scene": ({"15": {"text": "Other words."}}, {"scenes": [0]}),
        "a setting": ({"9": {"join": "dip"}}, {"settings": True}),
        "the order": (
            {"15": {"film": ["25", 0]}, "25": {"film": None}, "9": {"film": ["15", 0]}},
            {"order": True},
        ),
        "one scene less": ({"9": {"film": ["15", 0]}}, {"removed": ["Scene 2"]}),
    }
    for what, (change, expected) in changes.items():
        changed = copy.deepcopy(first)
        for node, inputs in change.items():
            changed[node]["inputs"] |= inputs
            changed[node]["inputs"] = {key: value for key, value in changed[node]["inputs"].items() if value}
        answer = ask(studio, changed)["9"]
        assert (what, answer["state"], answer["changes"]) == (what, "old", NOTHING | expected)
        assert answer["film"] == made["film"]
    named = copy.deepcopy(first)
    named["9"]["inputs"]["name"] = "another-name"
    assert state(studio, named) == "current"


def test_a_film_that_cannot_be_made_is_never_up_to_date(studio: Studio) -> None:
    whole = story(studio, "film-problem")
    render(studio, whole)
    assert state(studio, whole) == "current"
    circle, alone = copy.deepcopy(whole), copy.deepcopy(whole)
    circle["15"]["inputs"]["film"] = ["25", 0]
    del alone["9"]["inputs"]["film"]
    for graph, problem in ((circle, "circle"), (alone, "no scenes")):
        film = ask(studio, graph)["9"]
        assert (film["state"], film["problem"]) == ("old", problem)
        assert not ask(studio, graph, route="plan")["results"]["9"]["makes"]


def test_a_film_is_known_again_when_its_change_is_undone_or_leads_to_the_same(studio: Studio) -> None:
    first, other = story(studio, "film-back"), story(studio, "film-back")
    other["21"]["inputs"]["text"] = "Another"
    render(studio, first)
    made = ask(studio, first)["9"]["film"]["file"]
    render(studio, other)
    assert ask(studio, other)["9"]["film"]["file"] != made
    assert ask(studio, first)["9"]["film"]["file"] == made
    # Nor has a size on clips that have one, as an opened story gives it.
    sized = copy.deepcopy(first)
    sized["9"]["inputs"] |= {"width": 832, "height": 480}
    assert ask(studio, sized)["9"]["film"]["file"] == made
    sized["21"]["inputs"]["text"] = "A third"
    assert ask(studio, sized)["9"]["changes"] == NOTHING | {"scenes": [1]}
    # A crossfade's duration has no effect on cuts: another graph, the same film.
    same = copy.deepcopy(first)
    same["9"]["inputs"]["crossfade_seconds"] = 1.0
    assert state(studio, same) == "old"
    render(studio, same)
    assert ask(studio, same)["9"]["film"]["file"] == made


def test_a_film_without_a_note_is_known_by_the_graph_in_its_file(studio: Studio) -> None:
    first = story(studio, "film-unnoted")
    render(studio, first)
    notes = studio.server.output / "story_studio" / "films" / ".made_from.jsonl"
    aside = shutil.move(notes, notes.with_suffix(".aside"))
    try:
        assert state(studio, first) == "current"
        first["11"]["inputs"]["text"] = "Another"
        assert ask(studio, first)["9"]["changes"] == NOTHING | {"scenes": [0]}
    finally:
        shutil.move(aside, notes)


def test_the_film_of_another_workflow_is_not_shown(studio: Studio) -> None:
    mine = story(studio, "film-namesake")
    queue(studio, mine, "one")
    theirs = copy.deepcopy(mine)
    for card in ("11", "21"):
        theirs[card]["inputs"]["text"] += " of another story"
    assert state(studio, theirs, "two") == "missing"
    assert state(studio, theirs, "one") == "old"
    assert state(studio, mine, "two") == "current"


def test_two_films_of_a_workflow_with_one_name_are_known_apart(studio: Studio) -> None:
    whole = story(studio, "film-twice")
    queue(studio, whole, "twice")
    trailer = {**whole["9"], "inputs": whole["9"]["inputs"] | {"film": ["15", 0]}}
    both = ask(studio, {**whole, "7": trailer})
    assert {node: (one["state"], one["clips"]) for node, one in both.items()} == {
        "7": ("missing", ["14"]),
        "9": ("current", ["14", "24"]),
    }
    later = {
        **whole,
        "7": trailer,
        "15": {**whole["15"], "inputs": whole["15"]["inputs"] | {"text": "Later"}},
    }
    assert {node: one["state"] for node, one in ask(studio, later, "twice").items()} == {
        "7": "missing",
        "9": "old",
    }
    entries = {}
    for film in ("7", "9"):
        packed = ask(studio, {**whole, "7": trailer}, route="bundle", film=film, parts=["film", "clips"])
        archive = requests.get(f"{studio.url}/view", params=packed["file"], timeout=30).content
        entries[film] = zipfile.ZipFile(io.BytesIO(archive)).namelist()
    assert entries == {
        "7": ["clips/001-Scene-1.mp4"],
        "9": ["film.mp4", "clips/001-Scene-1.mp4", "clips/002-Scene-2.mp4"],
    }


def test_captions_and_everything_in_one_file(studio: Studio) -> None:
    first = story(studio, "film-bundle")
    render(studio, first)
    film = ask(studio, first)["9"]["film"]
    assert film["captions"] == [""]
    query = {"key": film["key"], "language": "", "format": "vtt"}
    captions = requests.get(f"{studio.url}/story_studio/captions", params=query, timeout=30)
    assert captions.headers["Content-Type"].startswith("text/vtt")
    assert captions.text.startswith("WEBVTT\n\n1\n00:00:00.")
    assert all(text in captions.text for text in TEXTS)
    for wrong in ({"key": "../../x"}, {"language": "de"}, {"format": "exe"}):
        answer = requests.get(f"{studio.url}/story_studio/captions", params=query | wrong, timeout=30)
        assert answer.status_code == 404
    first["21"]["inputs"]["text"] = "Not rendered"
    parts = ["film", "captions", "story", "stills", "clips"]
    bundle = ask(studio, first, route="bundle", film="9", parts=parts)
    assert (bundle["missing"], bundle["is_old"]) == (["2. Scene 2"], True)
    packed = requests.get(f"{studio.url}/view", params=bundle["file"], timeout=30).content
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert set(archive.namelist()) == {
            "film.mp4",
            "film.srt",
            "film.vtt",
            "story.json",
            "stills/001-Scene-1.png",
            "clips/001-Scene-1.mp4",
        }
        scenes = json.loads(archive.read("story.json"))["scenes"]
        assert [scene["text"] for scene in scenes] == TEXTS
        size = next(info.file_size for info in archive.infolist() if info.filename == "film.mp4")
        assert size == film["bytes"]


@pytest.mark.parametrize("body", [{"prompt": {}, "parts": ["passwords"]}, {"prompt": {}, "parts": 3}, {}, []])
def test_a_bundle_of_anything_else_is_refused(studio: Studio, body: Any) -> None:
    answer = requests.post(f"{studio.url}/story_studio/bundle", json=body, timeout=30)
    assert answer.status_code == 400 and "film, captions" in answer.json()["problems"][0]


def notes(studio: Studio) -> list[dict[str, Any]]:
    text = (studio.server.output / STORE / Kind.FILM.folder / ".made_from.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_what_is_noted_of_a_film_goes_with_it_when_the_next_is_made(studio: Studio) -> None:
    prompt = story(studio, "noted")
    render(studio, prompt)
    shown = ask(studio, prompt)["9"]["film"]
    (note,) = (note for note in notes(studio) if note["film"] == shown["key"])
    assert [shot[0] for shot in note["shots"]] == ["Scene 1", "Scene 2"]
    (studio.server.output / shown["file"]["subfolder"] / shown["file"]["filename"]).unlink()
    prompt["9"]["inputs"]["join"] = "dip"
    render(studio, prompt)
    keys = [note["film"] for note in notes(studio)]
    assert shown["key"] not in keys and ask(studio, prompt)["9"]["film"]["key"] in keys


TITLES = """
import utils.install_util
import comfy.options
comfy.options.enable_args_parsing()
from comfy_execution.graph import DynamicPrompt
from story_studio.results import made_films, result_store

class Keys:
    def of(self, node_id):
        return node_id

result_store.keys_of = lambda get_node: Keys()
scene = {"clip": ["1", 0], "title": "A title", "text": ""}
made = made_films.made_from(DynamicPrompt({
    "1": {"class_type": "StoryStudio_Clip", "inputs": {}},
    "2": {"class_type": "StoryStudio_FilmScene", "inputs": scene},
    "3": {"class_type": "StoryStudio_Film", "inputs": {"film": ["2", 0]}},
}), "3")
print([shot[0] for shot in made.shots])
"""


@pytest.mark.parametrize(("flags", "titles"), [([], ["A title"]), (["--disable-metadata"], [""])])
def test_titles_are_noted_only_with_metadata(flags: list[str], titles: list[str]) -> None:
    path = os.pathsep.join(map(str, (COMFYUI, ROOT / "custom_nodes", ROOT)))
    command = [sys.executable, "-c", TITLES, "--cpu", *flags]
    ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert ended.stdout.splitlines()[-1:] == [str(titles)], ended.stderr
