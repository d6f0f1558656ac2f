"""A story as boxes makes the driver's results, and is read back as the same story."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings

from driver.rendering.keys import predict
from story_studio.story import graph, schema
from story_studio.story.boxes import Box, Boxes, boxes_of
from story_studio.story.classes import CHAINS, STORYBOARD
from story_studio.story.descriptions import without_descriptions
from story_studio.story.editing import editable_panel_of
from story_studio.story.plan import profile_of
from story_studio.story.read_graph import read_graph
from story_studio.story.recipes import Nodes, is_link
from story_studio.story.scenes import Workflow
from tests.story.generated import plan, stories
from tests.story.test_read_graph import KINDS

QWEN = "qwen_image_edit_still.json"


def boxed(planned: graph.Plan) -> tuple[graph.Graph, Boxes]:
    """The graph of a story and its boxes, whose results are the same."""
    built = graph.build([planned])
    found = boxes_of(planned, built)
    assert predict(replace(built, nodes=found.nodes), {}) == predict(built, {})
    assert sheet(found.nodes) == sheet(built.nodes)
    return built, found


def sheet(nodes: Nodes) -> list[tuple[str, str]]:
    """The names and texts on the contact sheet of a graph."""
    workflow = Workflow(nodes)
    panels = [nodes[node]["inputs"] for node in workflow.chains(STORYBOARD, CHAINS[STORYBOARD])]
    texts = [
        [workflow.text(panel.get(name)) for name in ("name", "prompt", "characters")] for panel in panels
    ]
    return [(name, without_descriptions(prompt, characters)) for name, prompt, characters in texts]


def assert_complete(found: Boxes) -> None:
    """Each node has one place; links lead to nodes that are there; each field shows what is inside."""
    placed = [*found.end, *(node for box in found.boxes for node in (*box.nodes, *box.beside))]
    assert sorted(placed) == sorted(found.nodes)
    for content in found.nodes.values():
        assert all(value[0] in found.nodes for value in content["inputs"].values() if is_link(value))
    for box in found.boxes:
        assert len({each.name for each in box.fields}) == len(box.fields)
        for each in box.fields:
            for place in each.to:
                assert place.id in box.nodes
                assert found.nodes[place.id]["inputs"][place.input] == each.value


def values(box: Box) -> dict[str, Any]:
    return {each.name: each.value for each in box.fields}


@settings(max_examples=200)
@given(stories())
def test_boxes_make_the_same_results_and_are_read_back_as_the_same_story(story: schema.Story) -> None:
    built, found = boxed(plan(story))
    assert_complete(found)
    file = read_graph(found.nodes)
    assert file == read_graph(built.nodes)
    again = schema.parse(json.loads(json.dumps(file.data)))
    assert graph.build([plan(again)]).nodes == built.nodes


@pytest.mark.parametrize(
    ("profile", "narrated"), [("turbo", None), ("quality", None), ("turbo", "wan22_i2v_clip.json")]
)
def test_every_kind_of_scene_has_a_box(profile: str, narrated: str | None) -> None:
    data: dict[str, Any] = {"project_id": "tale", "profile": profile, "scenes": KINDS}
    if narrated:
        data["video_settings"] = {"narrated_workflow": narrated}
    built, found = boxed(plan(schema.parse(data)))
    assert_complete(found)
    again = schema.parse(read_graph(found.nodes).data)
    assert graph.build([plan(again)]).nodes == built.nodes


def test_scenes_share_models_and_settings_and_nothing_of_their_own() -> None:
    scenes = [
        {"id": "one", "prompt": "a pier", "audio": "1.wav", "seed": 20},
        {"id": "two", "prompt": "a pier", "audio": "1.wav", "seed": 20, "title": "The end"},
    ]
    data = {"project_id": "tale", "profile": "quality", "style": "ink (thin)", "scenes": scenes}
    # Steps of 20 are not the seed of 20, and equal sides are two.
    data |= {"video_settings": {"sample_steps": 20, "resolution": "64x64"}}
    _, found = boxed(plan(schema.parse(data)))
    assert_complete(found)
    shared, one, two = found.boxes
    assert values(one) == values(two) | {"title": "one"}
    assert list(values(one)) == ["title", "prompt", "movement", "text", "seed", "clip_seed"]
    assert (values(one)["prompt"], values(shared)["style"]) == ("a pier", "ink (thin)")
    assert {"style", "width", "height", "still_steps", "clip_steps"} <= set(values(shared))
    assert [found.nodes[node]["class_type"] for node in one.beside] == ["LoadAudio"]
    assert set(one.beside).isdisjoint(two.beside)
    loaders = [content["class_type"] for content in found.nodes.values()]
    assert loaders.count("UNETLoader") == loaders.count("StoryStudio_S2VModels") == 1
    # The panel edits what the boxes show.
    fields = editable_panel_of(found.nodes)["scenes"][0]["fields"]
    typed = {name: found.nodes[place["id"]]["inputs"][place["input"]] for name, place in fields.items()}
    assert typed == {name: values(one)[name] for name in typed}
    assert list(typed) == ["title", "prompt", "text", "movement"]
    # Every scene can be the first one.
    assert [len(box.open) for box in (one, two)] == [2, 2]


def test_characters_have_boxes_and_are_read_back() -> None:
    people = {"mara": {"description": "a lighthouse keeper"}, "tom": {"description": "a sailor"}}
    prompts = ["{Mara} reads, {mara} smiles", "a room", "{tom} greets {mara}.", "a (dark) pier."]
    scenes = [{"id": f"s{n}", "prompt": text, "audio": "a.wav"} for n, text in enumerate(prompts)]
    scenes[3]["character"] = "tom"
    story = schema.parse(
        {
            "project_id": "tale",
            "profile": "turbo",
            "style": "oil painting",
            "scenes": scenes,
            "characters": people,
            "image_settings": {"reference_workflow": QWEN},
        }
    )
    files = {scene.id: graph.Files("a.wav", None) for scene in story.scenes}
    built, found = boxed(graph.Plan(story, profile_of(story), files))
    assert_complete(found)
    assert [box.kind for box in found.boxes] == ["settings", "character", "character", *["scene"] * 4]
    again = schema.parse(read_graph(found.nodes).data)
    after = graph.build([graph.Plan(again, profile_of(again), files)])
    assert predict(after, {}) == predict(built, {})
    assert again.characters == story.characters


def test_the_work_is_linear_in_the_scenes() -> None:
    """Counted in lines of Python that run."""

    def lines(scenes: int) -> int:
        data = {
            "project_id": "tale",
            "scenes": [
                {"id": f"s{number}", "prompt": f"A {number}", "audio": f"{number}.wav"}
                for number in range(scenes)
            ],
        }
        planned = plan(schema.parse(data))
        built, count = graph.build([planned]), 0

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal count
            count += 1
            return trace

        sys.settrace(trace)
        try:
            boxes_of(planned, built)
        finally:
            sys.settrace(None)
        return count

    assert lines(80) < 1.5 * 8 * lines(10)
