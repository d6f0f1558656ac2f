"""POST /story_studio/graph of the node pack, on the real server: the graph that the driver would submit."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from driver.paths import ROOT
from story_studio.story import graph
from story_studio.story.recipes import FOLDER, load_profile
from story_studio.story.schema import read
from tests.studio import Studio
from tests.voices import write_voice

STORY = """
project_id: harbour
title: The harbour
profile: draft
scenes:
  - {id: one, prompt: a pier, audio: voices/one.mp3}
  - {id: two, audio: two.mp3, image: photos/two.png}
"""
FILES = {
    "voices/one.mp3": "story_studio/1.mp3",
    "two.mp3": "story_studio/2.mp3",
    "two.png": "story_studio/2.png",
}


def ask(studio: Studio, text: str, **more: Any) -> requests.Response:
    sent = {"name": "harbour.yaml", "text": text, "files": {}, "workflows": {}, **more}
    return requests.post(f"{studio.url}/story_studio/graph", json=sent, timeout=60)


def test_it_is_the_driver_s_graph(studio: Studio) -> None:
    story = read(STORY, ROOT / "workflows" / "harbour.yaml")
    files = {
        "one": graph.Files("story_studio/1.mp3", None),
        "two": graph.Files("story_studio/2.mp3", "story_studio/2.png"),
    }
    expected = graph.build([graph.Plan(story, load_profile("draft"), files)])
    response = ask(studio, STORY, files=FILES).json()
    assert response["prompt"] == expected.nodes
    assert (response["title"], response["missing"], response["warnings"]) == ("The harbour", [], [])
    titles, nodes = zip(*response["groups"], strict=True)
    assert titles == ("Models and settings", "one", "two", "Storyboard and film")
    assert sorted(node for group in nodes for node in group) == sorted(expected.nodes)


def test_missing_files_are_named_and_kept(studio: Studio) -> None:
    response = ask(
        studio, STORY, files={"a/one.mp3": "1.mp3", "two.mp3": "2.mp3", "b/two.mp3": "3.mp3"}
    ).json()
    assert response["missing"] == ["photos/two.png"]
    loaded = {
        key: node["inputs"]
        for key, node in response["prompt"].items()
        if node["class_type"].startswith("Load")
    }
    assert sorted(value for inputs in loaded.values() for value in inputs.values()) == [
        *("1.mp3", "2.mp3", "photos/two.png")
    ]


def test_a_story_s_own_recipe_is_sent_with_it(studio: Studio) -> None:
    text = f"{STORY}\nimage_settings: {{workflow: looks/mine.json, steps: 3}}"
    missing = ask(studio, text)
    assert missing.json()["problems"] == [
        "harbour.yaml: looks/mine.json: is not there: drop it together with the story file."
    ]
    recipe = json.loads((FOLDER / "z_image_turbo_still.json").read_text())
    response = ask(studio, text, workflows={"looks/mine.json": json.dumps(recipe)}).json()
    assert {"KSampler", "UNETLoader"} <= {node["class_type"] for node in response["prompt"].values()}
    broken = ask(studio, text, workflows={"mine.json": "{}"})
    assert "needs one node titled $still" in broken.json()["problems"][0]


def test_a_shipped_recipe_is_found_where_version_0_1_0_had_it(studio: Studio) -> None:
    text = f"{STORY}\nimage_settings: {{workflow: ../z_image_base_still.json}}"
    graph_of_story = ask(studio, text).json()["prompt"]
    assert "KSampler" in {node["class_type"] for node in graph_of_story.values()}


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            "scenes: [{id: a b, prompt: x}]\nprofil: draft",
            ["scenes[0].id (line 1): 'a b' is not a valid id", "profile"],
        ),
        ("a: [", ["harbour.yaml: line 2: a comma or the closing bracket is missing"]),
        ("[" * 5000, ["harbour.yaml: line 1: nested more than 50 deep"]),
        ("a plain text", ["A story is a mapping"]),
        ("scenes: [{id: a, prompt: x, audio: a.wav}]\nprofile: drft", ["did you mean 'draft'?"]),
    ],
)
def test_all_problems_are_reported(studio: Studio, text: str, messages: list[str]) -> None:
    problems = "\n".join(ask(studio, text).json()["problems"])
    assert all(message in problems for message in messages), problems


def test_a_script_becomes_a_graph_of_all_its_kinds_of_scenes(studio: Studio) -> None:
    text = (ROOT / "workflows" / "examples" / "three-gardens.csv").read_bytes().decode()
    files = {"roof_voice.wav": "story_studio/1.wav"}
    response = ask(studio, text.replace("\n", "\r\n"), name="three-gardens.csv", files=files).json()
    assert response["missing"] == ["june_voice.wav", "window_voice.wav"]
    assert [warning.partition(":")[0] for warning in response["warnings"][:2]] == [
        "Prompts are left to write, marked FILL IN",
        "Scenes have a text and no recording",
    ]
    classes = [node["class_type"] for node in response["prompt"].values()]
    assert (classes.count("StoryStudio_Clip"), classes.count("EmptyAudio")) == (4, 1)
    titles = [title for title, _ in response["groups"]]
    assert titles[-5:] == ["The roof", "june", "The yard", "The window", "Storyboard and film"]
    wrong = ask(studio, "one\n\ntwo\0", name="a.txt").json()
    assert wrong["problems"] == ["a.txt: line 3: holds the invisible character U+0000: delete it."]


def test_a_talking_clip_is_made_in_as_many_parts_as_its_voice_takes(studio: Studio) -> None:
    folder = studio.server.workspace / "input" / "story_studio"
    folder.mkdir(parents=True, exist_ok=True)
    write_voice(folder / "eight.wav", 8.0)
    settings = "video_settings: {workflow: infinitetalk_clip.json}"
    for audio, parts in (("eight.wav", 3), (f"data:audio/wav;base64,{'A' * 3000}", 1)):
        text = f"{settings}\nscenes: [{{id: a, prompt: a pier, audio: '{audio}'}}]"
        sent = ask(studio, text, files={"eight.wav": "story_studio/eight.wav"}).json()
        classes = [node["class_type"] for node in sent["prompt"].values()]
        assert classes.count("WanInfiniteTalkToVideo") == parts


def test_takes_of_another_machine_are_left_out(studio: Studio) -> None:
    """Those that *Save* names, which may let go; one that always holds is the author's choice."""
    pin, always = f"{'5eed' * 6}@{'b' * 24}", "c" * 24
    text = STORY.replace(
        "audio: voices/one.mp3", f"audio: voices/one.mp3, still_take: {pin}, clip_take: {pin}"
    )
    sent = ask(
        studio, text.replace("photos/two.png", f"photos/two.png, clip_take: {always}"), files=FILES
    ).json()
    takes = {node["inputs"].get("take") for node in sent["prompt"].values()}
    assert takes == {None, always}
    assert sent["warnings"][0] == (
        "Takes that this server does not have are rendered again: one (still), one (clip)."
    )


def test_a_folder_of_recordings_becomes_a_graph(studio: Studio) -> None:
    files = {
        "10 b.mp4": "story_studio/b.mp4",
        "2 a.wav": "story_studio/a.wav",
        "2 a.png": "story_studio/a.png",
    }
    response = ask(studio, "", name="my voices/", files=files, texts={"2 a.txt": "Hello."}).json()
    nodes = response["prompt"].values()
    assert response["missing"] == []
    scenes = [node["inputs"] for node in nodes if node["class_type"] == "StoryStudio_FilmScene"]
    assert [(scene["title"], scene["text"]) for scene in scenes] == [("a", "Hello."), ("b", "")]
    loaded = {
        value for node in nodes if node["class_type"].startswith("Load") for value in node["inputs"].values()
    }
    assert loaded == {*files.values()}


@pytest.mark.parametrize("sent", ["", "[]", "{}", '{"name": 1, "text": "", "files": {}, "workflows": {}}'])
def test_invalid_requests_are_refused(studio: Studio, sent: str) -> None:
    response = requests.post(f"{studio.url}/story_studio/graph", data=sent, timeout=60)
    assert response.status_code == 400
    assert response.json() == {"problems": ["Send name, text, files, workflows as JSON."]}
