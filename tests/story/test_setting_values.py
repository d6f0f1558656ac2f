"""Settings are set on the nodes that have them, and the workflow is read as the changed story."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driver.rendering.keys import predict
from story_studio.story import graph, schema
from story_studio.story.boxes import boxes_of
from story_studio.story.read_graph import read_graph
from story_studio.story.recipes import Nodes
from story_studio.story.setting_values import SETTINGS, Setting, values_of, with_values
from story_studio.story.story_data import data_of
from tests.story.examples import example
from tests.story.test_boxes import QWEN
from tests.story.test_read_graph import KINDS, ONE, TWO, graph_of, plan, small, stories

CHANGES: dict[Setting, dict[str, Any]] = {
    "still_steps": {"image_settings": {"steps": 13}},
    "clip_steps": {"video_settings": {"sample_steps": 17}},
    "still_negative": {"image_settings": {"negative_prompt": "rain (hail)"}},
    "clip_negative": {"video_settings": {"negative_prompt": "noise (loud)"}},
    "style": {"style": "oil (thick)"},
    "size": {"format": "9:16", "video_settings": {"resolution": "720p"}},
    "seed": {"seed": 77},
}


def changed(data: dict[str, Any], names: tuple[Setting, ...]) -> dict[str, Any]:
    """A story with other settings, as the panel's form changes it."""
    data = copy.deepcopy(data)
    for name in names:
        for section, value in CHANGES[name].items():
            data[section] = {**data.get(section, {}), **value} if isinstance(value, dict) else value
        if name == "size":
            data["image_settings"] = {
                key: value
                for key, value in data.get("image_settings", {}).items()
                if key not in ("width", "height")
            }
    return data


def settled(nodes: Nodes, *names: Setting) -> tuple[Nodes, set[tuple[str, str]]] | None:
    """The workflow with other settings, and the inputs that were set, by class; None if it has no place."""
    data = changed(read_graph(nodes).data, names)
    values = values_of(nodes, plan(schema.parse(data)), names)
    if values is None:
        return None
    after = with_values(nodes, values)
    assert_read_as(after, data)
    return after, {(nodes[value.id]["class_type"], value.input) for value in values}


def assert_read_as(nodes: Nodes, data: dict[str, Any]) -> None:
    """The workflow is read as this story: the same results, and settings that are the same to a person."""
    again, wanted = (schema.parse(one) for one in (read_graph(nodes).data, data))
    assert graph_of(again).nodes == graph_of(wanted).nodes
    assert again.frame_size == wanted.frame_size


SAMPLER, TALKING = "KSampler", "StoryStudio_TalkingVideo"
SIZES = {
    ("EmptySD3LatentImage", "width"),
    ("EmptySD3LatentImage", "height"),
    (TALKING, "width"),
    (TALKING, "height"),
}
CARDS = {(f"StoryStudio_{cls}", side) for cls in ("TitleCard", "Animatic") for side in ("width", "height")}


@pytest.mark.parametrize(
    ("name", "settable"),
    [
        (
            "Story",
            {
                "still_steps": {(SAMPLER, "steps")},
                "clip_steps": {(TALKING, "steps")},
                "clip_negative": {("CLIPTextEncode", "text")},
                "size": SIZES,
            },
        ),
        (
            "One scene",
            {
                "still_steps": {(SAMPLER, "steps")},
                "clip_steps": {(TALKING, "steps")},
                "clip_negative": {("CLIPTextEncode", "text")},
                "size": SIZES,
            },
        ),
        (
            "Talking video",
            {
                "clip_steps": {(TALKING, "steps")},
                "clip_negative": {("CLIPTextEncode", "text")},
                "size": {(TALKING, "width"), (TALKING, "height")},
            },
        ),
        ("Draft", {"size": CARDS}),
    ],
)
def test_settings_stand_on_the_nodes_of_the_examples(name: str, settable: dict[str, Any]) -> None:
    """The others do not: stills have no negative prompt, prompts no style, and each scene its own seed."""
    found = {setting: settled(example(name), setting) for setting in SETTINGS}
    assert {setting: one[1] for setting, one in found.items() if one} == settable | {"seed": set()}


@settings(max_examples=60)
@given(stories(), st.sampled_from(SETTINGS))
def test_boxes_get_the_results_of_the_changed_story(story: schema.Story, name: Setting) -> None:
    """What is set is what the graph of the changed story has, under the same keys."""
    built = graph_of(story)
    found = boxes_of(plan(story), built)
    data = read_graph(found.nodes).data
    wanted = changed(data, (name,))
    values = values_of(found.nodes, plan(schema.parse(wanted)), (name,))
    if values is None:
        return
    after = replace(built, nodes=with_values(found.nodes, values))
    expected = graph_of(schema.parse(wanted))
    assert named(after, predict(after, {})) == named(expected, predict(expected, {}))
    assert_read_as(after.nodes, wanted)


def named(made: graph.Graph, keys: dict[str, str]) -> dict[tuple[str, str], str]:
    """The keys of results, by the classes and names of their nodes."""
    return {
        (node["class_type"], node["inputs"]["name"]): keys[key] for key in keys for node in [made.nodes[key]]
    }


STORY: dict[str, Any] = {
    "project_id": "tale",
    "profile": "quality",
    "style": "ink",
    "seed": 5,
    "scenes": [ONE, TWO, {"id": "three", "prompt": "a keeper", "audio": "3.wav"}],
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("more", [{}, {"quality": {"retakes": 2}}], ids=["plain", "with retakes"])
def test_a_boxed_story_has_a_place_for_every_setting(name: Setting, more: dict[str, Any]) -> None:
    story = schema.parse(STORY | more)
    found = settled(boxes_of(plan(story), graph_of(story)).nodes, name)
    assert found is not None and found[1]


def with_foreign_nodes(nodes: Nodes) -> Nodes:
    """The workflow after an artist put a ControlNet before each sampler and a second pass behind it."""
    nodes = copy.deepcopy(nodes)
    for key in [key for key, node in nodes.items() if node["class_type"] == SAMPLER]:
        inputs = nodes[key]["inputs"]
        nodes[f"control {key}"] = {
            "class_type": "ControlNetApplyAdvanced",
            "inputs": {"positive": inputs["positive"], "negative": inputs["negative"], "strength": 0.5},
        }
        inputs |= {"positive": [f"control {key}", 0], "negative": [f"control {key}", 1]}
        refined = {"samples": [key, 0], "model": inputs["model"], "passes": 3, "denoise": 0.4}
        nodes[f"refiner {key}"] = {"class_type": "RefinerOfAnotherPack", "inputs": refined}
        for node in nodes.values():
            for name, value in node["inputs"].items():
                if value == [key, 0] and node["class_type"] != "RefinerOfAnotherPack":
                    node["inputs"][name] = [f"refiner {key}", 0]
    return nodes


@pytest.mark.parametrize("name", SETTINGS)
def test_nodes_of_other_packs_stay(name: Setting) -> None:
    story = schema.parse(STORY)
    nodes = with_foreign_nodes(boxes_of(plan(story), graph_of(story)).nodes)
    found = settled(nodes, name)
    assert found is not None and found[1]
    after, _ = found
    foreign = [key for key in nodes if key.startswith(("control", "refiner"))]
    assert len(foreign) == 6
    assert [after[key] for key in foreign] == [nodes[key] for key in foreign]


def test_a_preset_gives_way_to_other_steps() -> None:
    nodes = example("Story")
    for node in nodes.values():
        if node["class_type"] == TALKING:
            node["inputs"] |= {"preset": "quality", "steps": 3, "cfg": 1.0}
    found = settled(nodes, "clip_steps")
    assert found is not None and found[1] == {(TALKING, "steps"), (TALKING, "cfg"), (TALKING, "preset")}
    talking = [node["inputs"] for node in found[0].values() if node["class_type"] == TALKING]
    assert {(one["preset"], one["steps"], one["cfg"]) for one in talking} == {("custom", 17, 4.5)}


def test_what_the_profile_says_comes_back() -> None:
    """A setting that is left empty is the profile's, on the nodes too."""
    found = settled(example("Story"), "clip_steps", "clip_negative")
    assert found is not None
    data = read_graph(found[0]).data
    assert data["video_settings"] == {"sample_steps": 17, "negative_prompt": "noise (loud)"}
    del data["video_settings"]
    values = values_of(found[0], plan(schema.parse(data)), ("clip_steps", "clip_negative"))
    assert values is not None and with_values(found[0], values) == example("Story")


def test_a_seed_that_an_artist_gave_a_still_stays() -> None:
    story = schema.parse(STORY)
    nodes = boxes_of(plan(story), graph_of(story)).nodes
    own = next(key for key, node in nodes.items() if node["class_type"] == SAMPLER)
    nodes[own]["inputs"]["seed"] = 123
    data = changed(read_graph(nodes).data, ("seed",))
    values = values_of(nodes, plan(schema.parse(data)), ("seed",))
    assert values is not None and own not in {value.id for value in values}
    assert len(values) == 5


def test_the_sheets_of_characters_follow() -> None:
    people = {"mara": {"description": "a lighthouse keeper"}}
    scenes = [ONE | {"prompt": "{mara} reads"}, TWO | {"prompt": "{mara} sleeps"}]
    cast = {"characters": people, "scenes": scenes, "image_settings": {"reference_workflow": QWEN}}
    story = schema.parse(STORY | cast)
    nodes = boxes_of(plan(story), graph_of(story)).nodes
    before = data_of(story, {})
    for name in SETTINGS:
        wanted = schema.parse(changed(before, (name,)))
        values = values_of(nodes, plan(wanted), (name,))
        assert values, name
        after = replace(graph_of(story), nodes=with_values(nodes, values))
        expected = graph_of(wanted)
        assert named(after, predict(after, {})) == named(expected, predict(expected, {})), name


@pytest.mark.parametrize(
    ("nodes", "name"),
    [
        # Equal values share a node in the driver's graph: here the seed of one scene and the steps of all.
        (small("quality", scenes=[ONE | {"seed": 40}, TWO]), "clip_steps"),
        # The style is part of each prompt.
        (small("quality", style="ink"), "style"),
        # Title cards have no steps.
        (small("draft"), "still_steps"),
        # A negative prompt without effect.
        (small("standard"), "still_negative"),
    ],
)
def test_what_does_not_stand_there_is_left_alone(nodes: Nodes, name: Setting) -> None:
    assert settled(nodes, name) is None


@settings(max_examples=50)
@given(stories())
def test_a_story_written_as_data_is_the_same_story(story: schema.Story) -> None:
    data = json.loads(json.dumps(data_of(story, {})))
    assert schema.parse(data) == story


def test_a_story_is_written_with_the_names_of_its_files() -> None:
    lines = [{"character": "mara", "text": "Yes."}, {"text": "No.", "audio": "no.wav"}]
    data = {
        "project_id": "tale",
        "scenes": [*KINDS, {"id": "two", "prompt": "a room", "lines": lines}],
        "characters": {"mara": {"description": "a keeper", "reference": "mara.png"}},
        "film": {"music": {"file": "song.mp3", "level": -20}},
    }
    story = schema.parse(data)
    named = {"1.wav": "story_studio/1.wav", "boat.mp4": None, "mara.png": "m.png", "song.mp3": "s.mp3"}
    written = data_of(story, named)
    assert [scene.get("audio") for scene in written["scenes"]][:3] == ["story_studio/1.wav", "2.wav", None]
    assert written["scenes"][3]["clip"] == "boat.mp4"
    assert (written["characters"]["mara"]["reference"], written["film"]["music"]["file"]) == (
        "m.png",
        "s.mp3",
    )
    assert graph_of(schema.parse(data_of(story, {}))).nodes == graph_of(story).nodes
    assert data_of(schema.parse(data | {"film": False}), {})["film"] is False
