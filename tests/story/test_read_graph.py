"""A story is read back from its graph; a graph that an artist changed becomes a story, too."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings

from driver.rendering.keys import predict
from story_studio.story import graph, recipes, schema
from story_studio.story.plan import profile_of
from story_studio.story.problems import Problems
from story_studio.story.read_graph import read_graph
from story_studio.story.recipes import Nodes, is_link
from story_studio.story.scenes import Workflow, panel_of
from tests.story.generated import ONE, TWO, effective_values, graph_of, named_none, plan, stories
from tests.story.test_keys import with_linked_constants, with_typed_constants


@settings(max_examples=300)
@example(named_none("text"))
@example(named_none("prompt"))
@example(named_none("video_prompt"))
@example(named_none("title"))
@given(stories())
def test_a_story_is_read_back_from_its_graph(story: schema.Story) -> None:
    before = graph_of(story)
    file = read_graph(before.nodes)
    again = schema.parse(json.loads(json.dumps(file.data)))
    assert effective_values(again) == effective_values(story)
    after = graph_of(again)
    assert after.nodes == before.nodes
    assert predict(after, {}) == predict(before, {})
    assert set(file.warnings) <= set(graph.warnings(plan(story)))
    # Values that the profile has anyway are left out again.
    assert read_graph(after.nodes).data == file.data


@settings(max_examples=50)
@given(stories())
def test_typed_and_linked_constants_are_read_alike(story: schema.Story) -> None:
    before = graph_of(story).nodes
    expected = read_graph(before)
    assert read_graph(with_typed_constants(before)) == expected
    assert read_graph(with_linked_constants(before)) == expected


LEFTOVERS = {
    "audioUI": "/api/view?filename=a.wav",
    "upload": "image",
    "video-preview": "",
    "$$canvas-image-preview": "shown",
    "preview_text": "shown",
    "previewMode": None,
}
"""What interfaces add to the inputs of nodes for what they show there."""


@settings(max_examples=30)
@given(stories())
def test_what_interfaces_add_to_nodes_changes_nothing_that_is_read(story: schema.Story) -> None:
    """A preview's leftover input hid the value beside it, so that its setting was lost on save."""
    before = graph_of(story).nodes
    expected, shown = read_graph(before), panel_of(Workflow(before))
    for nodes in (before, with_linked_constants(before)):
        left = {node_id: node | {"inputs": node["inputs"] | LEFTOVERS} for node_id, node in nodes.items()}
        assert read_graph(left) == expected
        assert panel_of(Workflow(left))["scenes"] == shown["scenes"]


@pytest.mark.parametrize("cls", ["PrimitiveInt", "EasyValue"])
def test_what_interfaces_add_to_a_node_hides_no_value(cls: str) -> None:
    """Of stock primitives, and of nodes of other packs that have a single input."""
    values: dict[str, Any] = {"steps": 7, "cfg": 2.5, "text": "a pier"}
    nodes = {name: {"class_type": cls, "inputs": {"value": one} | LEFTOVERS} for name, one in values.items()}
    workflow = Workflow(nodes)
    assert {name: workflow.constant([name, 0]) for name in values} == values
    assert workflow.text(["text", 0]) == "a pier"


def small(profile: str = "standard", **more: Any) -> Nodes:
    """The graph of a story of two scenes."""
    return graph_of(
        schema.parse({"project_id": "tale", "profile": profile, "scenes": [ONE, TWO], **more})
    ).nodes


def of_class(nodes: Nodes, *classes: str) -> list[str]:
    return [
        node_id
        for node_id, node in nodes.items()
        if node["class_type"].removeprefix("StoryStudio_") in classes
    ]


def without(nodes: Nodes, *classes: str) -> Nodes:
    """The workflow after an artist deleted all nodes of these classes."""
    removed = of_class(nodes, *classes)
    return {
        node_id: node
        | {"inputs": {k: v for k, v in node["inputs"].items() if not (is_link(v) and v[0] in removed)}}
        for node_id, node in nodes.items()
        if node_id not in removed
    }


def changed(nodes: Nodes, cls: str, **inputs: Any) -> Nodes:
    """The workflow after an artist gave all nodes of a class other constants."""
    return nodes | {
        node_id: nodes[node_id] | {"inputs": nodes[node_id]["inputs"] | inputs}
        for node_id in of_class(nodes, cls)
    }


def read(nodes: Nodes) -> dict[str, Any]:
    return read_graph(nodes).data


@pytest.mark.parametrize(
    "removed",
    [
        ("Film", "FilmScene"),
        ("Film", "FilmScene", "ContactSheet"),
        ("Film", "FilmScene", "ContactSheet", "Storyboard"),
    ],
)
@pytest.mark.parametrize("profile", recipes.profile_names())
def test_scenes_need_no_film(profile: str, removed: tuple[str, ...]) -> None:
    nodes = without(small(profile), *removed)
    data = read(nodes)
    project = "tale" if "ContactSheet" not in removed else "story"
    assert data["project_id"] == project
    assert data["film"] is False
    expected = ["one", "two"] if project == "tale" else ["tale_one", "tale_two"]
    assert [scene["id"] for scene in data["scenes"]] == expected
    assert [scene["audio"] for scene in data["scenes"]] == ["1.wav", "2.wav"]
    assert [scene["prompt"] for scene in data["scenes"]] == ["a pier", "a boat"]


def test_stills_alone_make_scenes() -> None:
    nodes = without(small("quality"), "Film", "FilmScene", "Clip", "TalkingVideo")
    data, losses, faults, advice = read_graph(nodes)
    assert data["profile"] == "quality"
    assert [scene["prompt"] for scene in data["scenes"]] == ["a pier", "a boat"]
    assert (losses, faults, advice[0]) == ([], [], "Recordings are left to choose: one, two.")


LIGHTNING = "wan2.2_t2v_lightx2v_4steps_lora_v1.1_high_noise.safetensors"


@pytest.mark.parametrize(
    ("profile", "cls", "inputs", "nearest"),
    [
        ("standard", "S2VModels", {"lora": LIGHTNING}, "turbo"),
        ("turbo", "S2VModels", {"lora": "another.safetensors"}, "turbo"),
        ("turbo", "S2VModels", {"diffusion_model": "wan2.2_s2v_14B_bf16.safetensors"}, "turbo"),
        ("standard", "S2VModels", {"diffusion_model": "another.gguf"}, "standard"),
        ("standard", "UNETLoader", {"unet_name": "another.safetensors"}, "standard"),
        ("quality", "UNETLoader", {"unet_name": "another.safetensors"}, "quality"),
        ("quality", "S2VModels", {"diffusion_model": "another.safetensors"}, "quality"),
        ("standard", "UNETLoader", {"unet_name": "z_image_bf16.safetensors"}, "standard"),
        ("standard", "TalkingVideo", {"steps": 40, "cfg": 1.0}, "standard"),
        ("standard", "KSampler", {"steps": 40, "cfg": 4.0}, "standard"),
        ("standard", "ModelSamplingAuraFlow", {"shift": 4.0}, "standard"),
        ("standard", "S2VModels", {"shift": 8.0}, "standard"),
    ],
)
def test_the_nearest_profile_is_named(profile: str, cls: str, inputs: dict[str, Any], nearest: str) -> None:
    data, losses, *_ = read_graph(changed(small(profile), cls, **inputs))
    assert data["profile"] == nearest
    is_exact = cls in ("TalkingVideo", "KSampler")
    assert any(f"the nearest, {nearest!r}" in loss for loss in losses) is not is_exact


def test_what_a_story_cannot_say_of_its_film_is_a_loss() -> None:
    scenes = [{"id": "one", "prompt": "a pier", "audio": "1.wav"}]
    story = {"project_id": "tale", "profile": "turbo", "film": {"upscale": "model"}, "scenes": scenes}
    nodes = graph.build([plan(schema.parse(story))]).nodes
    file = read_graph(nodes)
    assert (file.data["film"], file.losses) == ({"upscale": "model"}, [])
    (loader,) = (node for node in nodes.values() if node["class_type"] == "UpscaleModelLoader")
    loader["inputs"]["model_name"] = "another.safetensors"
    (film,) = (node for node in nodes.values() if node["class_type"] == "StoryStudio_Film")
    nodes["second"] = {**film, "inputs": film["inputs"] | {"name": "trailer"}}
    losses = read_graph(nodes).losses
    assert ["2 films" in losses[0], "Clip Frames and Master" in losses[1], len(losses)] == [True, True, 2]


def test_a_draft_of_drawn_stills_is_a_draft() -> None:
    nodes = small("standard")
    for node_id in of_class(nodes, "TalkingVideo"):
        nodes[node_id] = nodes[node_id] | {"class_type": "StoryStudio_Animatic"}
    assert read(nodes)["profile"] == "draft"


def test_a_preset_overrules_steps_and_guidance() -> None:
    nodes = changed(small("standard"), "TalkingVideo", preset="quality")
    assert read(nodes)["video_settings"] == {"sample_steps": 40}
    assert "video_settings" not in read(changed(nodes, "TalkingVideo", preset="custom"))


def test_no_guidance_is_a_setting() -> None:
    assert read(changed(small("standard"), "TalkingVideo", cfg=1))["video_settings"] == {"cfg": 1}
    assert read(changed(small("quality"), "KSampler", cfg=1))["image_settings"] == {"cfg": 1}


def test_settings_are_read_from_the_first_scene_that_has_them() -> None:
    own = {**ONE, "image": "own.png"}
    nodes = small("quality", scenes=[own, TWO], image_settings={"steps": 7}, style="ink")
    data = read(nodes)
    assert (data["image_settings"], data["style"]) == ({"steps": 7}, "ink")
    assert data["scenes"][0]["image"] == "own.png"


def test_prompts_without_a_common_style_are_kept_whole() -> None:
    nodes = small("standard", style="ink")
    (first, *_) = (node_id for node_id, node in nodes.items() if node["inputs"].get("value") == "a pier, ink")
    nodes[first]["inputs"]["value"] = r"a (heavy:1.2) pier \(old\)"
    data = read(nodes)
    assert "style" not in data
    assert [scene["prompt"] for scene in data["scenes"]] == ["a (heavy:1.2) pier (old)", "a boat, ink"]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (("tale_x", "tale_X"), ["x", "scene_2"]),
        (("", "??"), ["scene_1", "scene_2"]),
        (("tale_scene_2", ""), ["scene_2", "scene_4"]),
        (("x\n", "y" * 65), ["scene_1", "scene_2"]),
    ],
)
def test_names_that_are_not_ids_become_numbers(names: tuple[str, str], ids: list[str]) -> None:
    nodes = small("draft")
    for node_id, name in zip(of_class(nodes, "Clip"), names, strict=True):
        nodes[node_id]["inputs"]["name"] = name
    assert [scene["id"] for scene in read(nodes)["scenes"]] == ids


@pytest.mark.parametrize("name", ["story_studio", "a b", "", "x\n", "y" * 65])
def test_a_project_needs_a_name_that_is_an_id(name: str) -> None:
    nodes = changed(changed(small("draft"), "Film", name=name), "ContactSheet", name=name)
    assert read(nodes)["project_id"] == "story"


def test_two_clips_of_one_still_are_two_scenes() -> None:
    nodes = small("draft")
    first, second = of_class(nodes, "Still")
    for node in nodes.values():
        for name, value in node["inputs"].items():
            if value == [second, 0] and node["class_type"] == "StoryStudio_Animatic":
                node["inputs"][name] = [first, 0]
    nodes = without(nodes, "Film", "FilmScene", "Storyboard", "ContactSheet")
    del nodes[second]
    assert [scene["audio"] for scene in read(nodes)["scenes"]] == ["1.wav", "2.wav"]


def test_a_workflow_without_scenes_is_not_a_story() -> None:
    with pytest.raises(Problems, match="no Still and no Clip"):
        read_graph({})


def test_five_hundred_scenes_are_read() -> None:
    """The limit that ends searches in hostile workflows is far above the longest story."""
    many = [
        {**ONE, "id": f"s{number}", "prompt": "x" * 10_000, "text": "y" * 10_000} for number in range(500)
    ]
    nodes = small("standard", scenes=many)
    file = read_graph(with_typed_constants(nodes))
    assert len(file.data["scenes"]) == len(panel_of(Workflow(nodes))["scenes"]) == 500


KINDS: list[dict[str, Any]] = [
    {"id": "talk", "prompt": "a keeper", "audio": "1.wav", "text": "Hello.", "title": "One"},
    {"id": "voiced", "prompt": "a storm", "audio": "2.wav", "kind": "narrated", "continues": True},
    {"id": "sea", "prompt": "the sea", "seconds": 4.5, "continues": True},
    {"id": "boat", "clip": "boat.mp4", "from": 1.5, "to": 4, "mute": True, "title": "Two"},
    {"id": "pier", "prompt": "a pier", "clip": "pier.mp4", "audio": "3.wav"},
]


@pytest.mark.parametrize(
    ("profile", "narrated"),
    [
        ("turbo", None),
        ("quality", None),
        ("turbo", "wan22_i2v_clip.json"),
        ("standard", "animatic_clip.json"),
    ],
)
def test_every_kind_of_scene_is_read_back(profile: str, narrated: str | None) -> None:
    data = {"project_id": "tale", "profile": profile, "scenes": KINDS}
    if narrated:
        data["video_settings"] = {"narrated_workflow": narrated}
    story = schema.parse(data)
    before = graph_of(story).nodes
    file = read_graph(before)
    assert file.warnings == []
    again = schema.parse(file.data)
    assert again.video_settings.narrated_workflow == narrated
    assert all("video_prompt" not in scene for scene in file.data["scenes"])
    assert graph_of(again).nodes == before
    names = (
        "id",
        "kind_of",
        "audio",
        "seconds",
        "clip",
        "start",
        "end",
        "mute",
        "continues",
        "title",
        "prompt",
    )
    for old, new in zip(story.scenes, again.scenes, strict=True):
        assert [getattr(new, name) for name in names] == [getattr(old, name) for name in names]
    left = {node_id: node | {"inputs": node["inputs"] | LEFTOVERS} for node_id, node in before.items()}
    assert read_graph(left) == file
    shown = panel_of(Workflow(before))["scenes"]
    assert [scene["name"] for scene in shown] == ["One", "voiced", "sea", "Two", "pier"]
    assert all(scene["still"] and scene["clip"] for scene in shown)


def test_a_narrated_story_s_voices_are_read_with_any_number_of_segments() -> None:
    data = {
        "project_id": "tale",
        "profile": "turbo",
        "scenes": [KINDS[1] | {"video_prompt": "waves rise"}],
        "video_settings": {"narrated_workflow": "wan22_i2v_clip.json"},
    }
    plan = graph.Plan(
        story := schema.parse(data), profile_of(story), {"voiced": graph.Files("2.wav", None, None, 12.0)}
    )
    nodes = graph.build([plan]).nodes
    assert len(of_class(nodes, "JoinVideos")) > 0
    scene = schema.parse(read(nodes)).scenes[0]
    assert (scene.kind_of, scene.audio, scene.video_prompt) == ("narrated", "2.wav", "waves rise")


def test_the_shots_of_a_dialogue_become_scenes() -> None:
    lines = [
        {"character": "mara", "text": "Hi.", "audio": "1.wav"},
        {"character": "tom", "text": "Ho.", "audio": "2.wav"},
    ]
    data = {
        "project_id": "tale",
        "profile": "turbo",
        "scenes": [{"id": "f", "prompt": "a room", "lines": lines}],
    }
    people = {"mara": {"description": "a keeper"}, "tom": {"description": "a fisherman"}}
    story = schema.parse(data | {"characters": people})
    again = schema.parse(read(graph_of(story).nodes))
    assert [(scene.id, scene.kind_of, scene.text, scene.continues) for scene in again.scenes] == [
        ("f.0", "silent", "", False),
        ("f.1", "talking", "Hi.", True),
        ("f.2", "talking", "Ho.", True),
    ]
