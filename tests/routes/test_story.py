"""POST /story_studio/story and /story_studio/scenes of the node pack, on the real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from driver.paths import ROOT
from story_studio.story import graph, schema
from story_studio.story.recipes import FOLDER, load_profile
from tests.routes import test_takes as takes
from tests.studio import Studio

OWN = """
project_id: harbour
title: The harbour
style: thin ink, fog (dense).
seed: 400
image_settings: {width: 128, height: 64, steps: 3, cfg: 2.5, negative_prompt: rain (hail)}
video_settings: {resolution: 64x64, sample_steps: 1}
film: {join: crossfade, crossfade_seconds: 0.3, captions: false}
scenes:
  - {id: pier, title: The pier, prompt: "A pier (old), at dawn.", audio: voices/pier.wav, text: Good morning.}
  - {id: boat, image: boat.png, audio: boat.wav, video_prompt: "She (softly) sings"}
"""


def ask(studio: Studio, prompt: Any, route: str = "story", **more: Any) -> Any:
    body = {"prompt": prompt, "keys": {}, **more}
    response = requests.post(f"{studio.url}/story_studio/{route}", json=body, timeout=60)
    assert response.status_code == 200, response.text
    return response.json()


def graph_of(story: schema.Story) -> graph.Graph:
    files = {scene.id: graph.Files(scene.audio, scene.image) for scene in story.scenes}
    return graph.build([graph.Plan(story, load_profile(story.profile), files)])


@pytest.mark.parametrize("profile", ["draft", "turbo", "standard", "quality"])
@pytest.mark.parametrize("source", ["demo", "own"])
def test_it_is_the_reverse_of_the_driver_s_graph(studio: Studio, source: str, profile: str) -> None:
    text = (ROOT / "workflows" / "demo" / "story.yaml").read_text("utf-8") if source == "demo" else OWN
    story = schema.read(text, Path("story.yaml")).model_copy(update={"profile": profile})
    before = graph_of(story)
    response = ask(studio, before.nodes)
    assert response["name"] == f"{story.project_id}.json"
    # A pier cannot talk.
    advised = source == "own" and profile != "draft"
    assert [warning.partition(":")[0] for warning in response["warnings"]] == ["pier"] * advised
    assert response["losses"] == []
    again = schema.read(response["text"], Path(response["name"]))
    assert (again.title, again.profile) == (story.title, profile)
    assert graph_of(again).nodes == before.nodes


def test_a_saved_story_finds_what_its_author_has_rendered(studio: Studio) -> None:
    """A graph that no story makes: its card has no heading, and its seeds differ."""
    nodes = takes.story(studio, "saved", 7)
    nodes["6"] = {
        "class_type": "StoryStudio_FilmScene",
        "inputs": {"clip": ["5", 0], "title": "saved", "text": ""},
    }
    unfinished = ask(studio, nodes)
    assert "saved (still), saved (clip)" in unfinished["losses"][-1]
    takes.render(studio, nodes)
    results = {node: entry["key"] for node, entry in takes.ask(studio, nodes).items()}
    saved = ask(studio, nodes, keys=results)
    assert not [warning for warning in saved["warnings"] if "differently" in warning]
    (scene,) = json.loads(saved["text"])["scenes"]
    assert scene["still_take"].startswith(f"{results['2']}@")
    sent = {"name": "saved.json", "text": saved["text"], "files": {}, "workflows": {}}
    opened = requests.post(f"{studio.url}/story_studio/graph", json=sent, timeout=60).json()
    assert opened["missing"] == []
    for prompt in (opened["prompt"], opened["canvas"]["nodes"]):
        found = takes.ask(studio, prompt)
        assert sorted(entry["key"] for entry in found.values()) == sorted(results.values())
        assert [entry["pin"]["holds"] for entry in found.values() if entry["pin"]] == [True]
    # Saved again it is the same story, and a changed prompt is rendered.
    again = ask(studio, opened["prompt"], keys={node: entry["key"] for node, entry in found.items()})
    assert [one["still_take"] for one in json.loads(again["text"])["scenes"]] == [scene["still_take"]]
    sent["text"] = saved["text"].replace('"prompt": "saved"', '"prompt": "changed"')
    changed = requests.post(f"{studio.url}/story_studio/graph", json=sent, timeout=60).json()
    assert all(entry["file"] is None for entry in takes.ask(studio, changed["prompt"]).values())


def opened(studio: Studio, text: str, workflows: dict[str, str]) -> dict[str, Any]:
    """What the panel gets of a story file."""
    sent = {"name": "harbour.yaml", "text": text, "files": {}, "workflows": workflows}
    return requests.post(f"{studio.url}/story_studio/graph", json=sent, timeout=60).json()


def test_a_story_keeps_its_own_recipes_where_more_is_known_of_it(studio: Studio) -> None:
    recipe = json.loads((FOLDER / "z_image_turbo_still.json").read_text())
    recipe["2"]["inputs"]["shift"] = 5.0
    text = OWN.replace("image_settings: {", "image_settings: {workflow: looks/mine.json, ")
    text += "characters: {mara: {description: a sailor}}\n"
    there = opened(studio, text, {"looks/mine.json": json.dumps(recipe), "other.json": "{}"})
    assert list(there["workflows"]) == ["looks/mine.json"]
    data, canvas = there["data"], there["canvas"]["nodes"]
    assert schema.parse(data) == schema.read(text, Path("harbour.yaml"))
    # Alone, the canvas is that of no profile.
    assert len(ask(studio, canvas)["losses"]) == 2
    known = {"story": data, "workflows": there["workflows"]}
    seen = ask(studio, canvas, **known)
    assert json.loads(seen["text"]) == data
    (inexact,) = seen["losses"]
    assert inexact.startswith("No profile has exactly")
    # What has no place in the recipe is lost, but for names in braces, which are meant to be described.
    sampler = next(node for node in canvas.values() if node["class_type"] == "KSampler")
    sampler["inputs"]["scheduler"] = "beta"
    assert "pier (still)" in ask(studio, canvas, **known)["losses"][-1]
    sampler["inputs"]["scheduler"] = "simple"
    prompt = next(node for node in canvas.values() if "pier" in str(node["inputs"].get("prompt")))
    for node in canvas.values():
        if node["inputs"].get("prompt") == prompt["inputs"]["prompt"]:
            node["inputs"]["prompt"] = "{mara} on a pier"
    assert ask(studio, canvas, **known)["losses"] == [inexact]
    other = ask(studio, canvas, story=data | {"scenes": data["scenes"][:1]})
    assert other["problems"] == ["story: has other scenes than the workflow."]


def test_settings_are_set_on_the_nodes_of_a_workflow(studio: Studio) -> None:
    canvas = opened(studio, OWN, {})["canvas"]["nodes"]
    data = json.loads(ask(studio, canvas)["text"])
    wanted = data | {"video_settings": data["video_settings"] | {"sample_steps": 3}}
    found = ask(studio, canvas, "settings", story=wanted, settings=["clip_steps"])
    assert [(value["input"], value["value"]) for value in found["values"]] == [("value", 3)]
    assert found["then"] == wanted
    nowhere = ask(studio, canvas, "settings", story=data, settings=["still_negative", "style", "size"])
    assert nowhere == {"values": None, "then": None}
    assert (
        "resolution"
        in ask(
            studio,
            canvas,
            "settings",
            story=data | {"video_settings": {"resolution": "big"}},
            settings=["size"],
        )["problems"][0]
    )
    for wrong in ({"story": data, "settings": ["profile"]}, {"settings": ["size"]}):
        body = {"prompt": canvas, **wrong}
        assert requests.post(f"{studio.url}/story_studio/settings", json=body, timeout=60).status_code == 400


def test_missing_values_are_warnings(studio: Studio) -> None:
    nodes = {
        "1": {"class_type": "SpeechOfAnotherPack", "inputs": {"speed": 1}},
        "2": {"class_type": "StoryStudio_TitleCard", "inputs": {"text": "A pier", "seed": 2**64 - 1}},
        "3": {"class_type": "StoryStudio_Still", "inputs": {"image": ["2", 0], "name": "one"}},
        "4": {"class_type": "StoryStudio_Animatic", "inputs": {"image": ["3", 0], "audio": ["1", 0]}},
        "5": {"class_type": "StoryStudio_Clip", "inputs": {"video": ["4", 0], "name": "one"}},
        "6": {"class_type": "StoryStudio_TitleCard", "inputs": {"text": "A boat", "seed": 5}},
        "7": {"class_type": "StoryStudio_Still", "inputs": {"image": ["6", 0], "name": "two"}},
        "8": {"class_type": "StoryStudio_Animatic", "inputs": {"image": ["7", 0], "audio": ["1", 0]}},
        "9": {"class_type": "StoryStudio_Clip", "inputs": {"video": ["8", 0], "name": "two"}},
    }
    response = ask(studio, nodes)
    assert json.loads(response["text"]) == {
        "project_id": "story",
        "profile": "draft",
        "film": False,
        "scenes": [
            {"id": "one", "prompt": "A pier", "audio": "choose your recording", "seed": 2**64 - 1},
            {"id": "two", "prompt": "A boat", "audio": "choose your recording", "seed": 5},
        ],
    }
    assert response["losses"] == ["Voices that other nodes make have no place in a story: one, two."]
    (seed,) = response["faults"]
    assert seed.startswith("scenes[0].seed: ")
    assert response["warnings"] == [
        *response["losses"],
        seed,
        "Recordings are left to choose: one, two.",
    ]


def test_a_story_that_is_not_finished_is_opened_again(studio: Studio) -> None:
    """As after adding a scene: nothing is written in it, and no recording is chosen."""
    nodes = {
        "2": {"class_type": "StoryStudio_TitleCard", "inputs": {"text": " \n"}},
        "3": {"class_type": "StoryStudio_Still", "inputs": {"image": ["2", 0], "name": "one"}},
        "4": {"class_type": "StoryStudio_Animatic", "inputs": {"image": ["3", 0]}},
        "5": {"class_type": "StoryStudio_Clip", "inputs": {"video": ["4", 0], "name": "one"}},
    }
    response = ask(studio, nodes)
    assert (response["losses"], response["faults"]) == ([], [])
    assert response["warnings"] == [
        "Prompts are left to write, marked FILL IN: one.",
        "Recordings are left to choose: one.",
    ]
    sent = {"name": "story.json", "text": response["text"], "files": {}, "workflows": {}}
    opened = requests.post(f"{studio.url}/story_studio/graph", json=sent, timeout=60).json()
    assert opened["missing"] == ["choose your recording"]
    again = ask(studio, opened["prompt"])
    assert (json.loads(again["text"])["scenes"], again["warnings"]) == (
        json.loads(response["text"])["scenes"],
        response["warnings"],
    )


def test_a_clip_over_silence_is_a_silent_scene(studio: Studio) -> None:
    nodes = {
        "1": {"class_type": "EmptyAudio", "inputs": {"duration": 3.5}},
        "2": {"class_type": "StoryStudio_TitleCard", "inputs": {"text": "A pier"}},
        "3": {"class_type": "StoryStudio_Still", "inputs": {"image": ["2", 0], "name": "one"}},
        "4": {"class_type": "StoryStudio_Animatic", "inputs": {"image": ["3", 0], "audio": ["1", 0]}},
        "5": {"class_type": "StoryStudio_Clip", "inputs": {"video": ["4", 0], "name": "one"}},
    }
    response = ask(studio, nodes)
    assert json.loads(response["text"])["scenes"] == [{"id": "one", "prompt": "A pier", "seconds": 3.5}]
    # The card and the camera move have no size, which no story can say.
    assert [warning.partition(",")[0] for warning in response["warnings"]] == [
        "A story file has no place for something that these are made from"
    ]


@pytest.mark.parametrize("route", ["story", "scenes"])
@pytest.mark.parametrize(
    "body",
    [
        *("", "[]", "{}", "[" * 100_000, '{"prompt": ' + '{"a":' * 50_000, '{"keys": {}}', "\xff"),
        *('{"prompt": 1, "keys": {}}', '{"prompt": [], "keys": {}}', '{"prompt": {"1": {}}, "keys": {}}'),
        *(
            '{"prompt": {"1": 2}, "keys": {}}',
            '{"prompt": {"1": {"class_type": 1, "inputs": {}}}, "keys": {}}',
        ),
        '{"prompt": {"1": {"class_type": "x", "inputs": []}}, "keys": {}}',
        '{"prompt": {"1": {"class_type": "x", "inputs": {"a": ' + "9" * 5000 + '}}}, "keys": {}}',
    ],
    ids=lambda body: body[:40],
)
def test_anything_but_a_workflow_is_refused(studio: Studio, route: str, body: str) -> None:
    url = f"{studio.url}/story_studio/{route}"
    response = requests.post(url, data=body.encode("latin-1"), timeout=60)
    assert response.status_code == 400
    (problem,) = response.json()["problems"]
    assert "an API workflow" in problem


@pytest.mark.parametrize("keys", [None, [], {"1": 2}, {"1": None}, "x"])
def test_invalid_keys_are_refused(studio: Studio, keys: Any) -> None:
    body = {"prompt": graph_of(schema.read(OWN, Path("story.yaml"))).nodes, "keys": keys}
    response = requests.post(f"{studio.url}/story_studio/story", json=body, timeout=60)
    assert response.status_code == 400


@pytest.mark.parametrize("route", ["story", "scenes", "graph", "takes"])
def test_an_encoding_that_does_not_exist_is_refused(studio: Studio, route: str) -> None:
    headers = {"Content-Type": "application/json; charset=nonsense"}
    url = f"{studio.url}/story_studio/{route}"
    assert requests.post(url, data=b"{}", headers=headers, timeout=60).status_code == 400
    assert requests.post(url, data=b"[" * 100_000, timeout=60).status_code == 400


def test_a_workflow_without_scenes_is_not_a_story(studio: Studio) -> None:
    empty = {"1": {"class_type": "KSampler", "inputs": {}}}
    assert ask(studio, empty)["problems"] == [
        "The workflow has no Still and no Clip, so it has no scenes to save."
    ]
    assert ask(studio, empty, "scenes") == {"scenes": [], "films": [], "owners": {}}


def entangled(size: int) -> dict[str, Any]:
    """Every node is linked to all others, each text is all texts, and each Still leads to everything."""
    links = {f"text_{number}": [str(number), 0] for number in range(size)}
    nodes: dict[str, Any] = {
        str(number): {"class_type": "StringConcatenate", "inputs": {**links, "text": [str(number), 0]}}
        for number in range(size)
    }
    stills = {"class_type": "StoryStudio_Still", "inputs": {"image": ["0", 0], "name": ["0", 0]}}
    return nodes | {f"still {number}": stills for number in range(size)}


@pytest.mark.parametrize("route", ["story", "scenes"])
def test_entangled_links_are_an_error(studio: Studio, route: str) -> None:
    (problem,) = ask(studio, entangled(60), route)["problems"]
    assert problem == "The workflow is too large, or its links too entangled, to be read."


def test_scenes_are_as_the_panel_shows_them(studio: Studio) -> None:
    before = graph_of(schema.read(OWN, Path("story.yaml")))
    pier, boat = graph.SceneId(0, "pier"), graph.SceneId(0, "boat")
    before.nodes[before.clips[boat]]["inputs"]["take"] = "b" * 24
    response = ask(studio, before.nodes, "scenes")
    # What the panel needs to change a scene has tests of its own.
    edited = ("seeds", "joins", "in_film", "circle", "voice", "fields")
    shown = [
        {name: value for name, value in scene.items() if name not in edited} for scene in response["scenes"]
    ]
    assert shown == [
        {
            "id": f"{before.stills[scene]} {before.clips[scene]}",
            "still": before.stills[scene],
            "clip": before.clips[scene],
            "check": before.checks[scene],
            "name": name,
            "prompt": prompt,
            "chosen": {"still": "", "clip": take},
        }
        for scene, name, prompt, take in (
            (pier, "The pier", "A pier (old), at dawn.", ""),
            (boat, "boat", "She \\(softly\\) sings", "b" * 24),
        )
    ]
    seeds = [
        {part: seed and before.nodes[seed["id"]]["class_type"] for part, seed in scene["seeds"].items()}
        for scene in response["scenes"]
    ]
    assert seeds == [
        {"still": "KSampler", "clip": "StoryStudio_TalkingVideo"},
        {"still": None, "clip": "StoryStudio_TalkingVideo"},
    ]
    assert response["films"] == list(before.films.values())
    scenes = [pier, boat]
    owners = {node: (scenes[number], part) for node, (number, part) in response["owners"].items()}
    for node, owner in before.owners.items():
        if owner.phase in ("still", "clip") and node in owners:
            assert owners[node][0] == owner.scene
    assert owners[before.stills[pier]] == (pier, "still")
    assert owners[before.clips[pier]] == (pier, "clip")
    assert next(key for key, node in before.nodes.items() if node["class_type"] == "UNETLoader") in owners
    assert next(key for key, node in before.nodes.items() if "S2VModels" in node["class_type"]) not in owners
