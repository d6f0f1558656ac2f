"""Masters in the graph of a story, the recipes that change frames, and what is repeated for each window."""

from __future__ import annotations

import json
from typing import Any

import pytest

from story_studio.story import windows
from story_studio.story.graph import Graph, Owner
from story_studio.story.keys import Keys
from story_studio.story.masters import Mastering, add_master
from story_studio.story.model_files import named_files
from story_studio.story.problems import Problems
from story_studio.story.recipes import FOLDER, Link, Nodes, load_recipe, read_recipe

OWNER = Owner("film", None)
UPSCALE = load_recipe(FOLDER / "upscale_model_frames.json", "frames")
INTERPOLATE = load_recipe(FOLDER / "interpolation_model_frames.json", "frames")


def built(wanted: Mastering) -> tuple[Nodes, str]:
    """The nodes of the master of a clip, and its id."""
    graph = Graph()
    clip = graph.add(OWNER, "clip", "StoryStudio_Clip", name="clip")
    return graph.nodes, add_master(graph, OWNER, clip, wanted, "tale_boat").node


def upstream(nodes: Nodes, node: str, name: str = "frames") -> list[str]:
    """The classes along a link, from a node to the clip."""
    link = nodes[node]["inputs"][name]
    following = {"FrameInterpolate": "images", "ImageUpscaleWithModel": "image", windows.CLIP_FRAMES: "clip"}
    classes = [nodes[link[0]]["class_type"]]
    return (
        classes
        if classes == ["StoryStudio_Clip"]
        else [*classes, *upstream(nodes, link[0], following[classes[0]])]
    )


@pytest.mark.parametrize(
    ("wanted", "needed"),
    [
        (Mastering(1920, 1080), False),
        (Mastering(fps=24, interpolation="repeat"), False),
        (Mastering(fps=16, interpolation="motion"), False),
        (Mastering(fps=24, interpolation="motion"), True),
        (Mastering(fps=24, interpolation=INTERPOLATE), True),
        (Mastering(upscale=UPSCALE), True),
        (Mastering(match_color=True), True),
    ],
)
def test_a_master_is_needed_where_the_clip_changes(wanted: Mastering, needed: bool) -> None:
    assert wanted.is_needed() is needed


def test_without_recipes_a_master_is_one_node() -> None:
    nodes, end = built(Mastering(1920, 1080, 24, "motion", match_color=True))
    inputs = {"fps": "24", "interpolation": "motion", "width": 1920, "height": 1080, "match_color": True}
    assert len(nodes) == 2 and nodes[end]["inputs"] == {"clip": ["1", 0], "name": "tale_boat", **inputs}


def test_frames_are_interpolated_before_they_are_enlarged() -> None:
    nodes, end = built(Mastering(fps=24, interpolation=INTERPOLATE, upscale=UPSCALE))
    assert upstream(nodes, end) == [
        "ImageUpscaleWithModel",
        "FrameInterpolate",
        windows.CLIP_FRAMES,
        "StoryStudio_Clip",
    ]
    (source,) = (node for node in nodes if nodes[node]["class_type"] == windows.CLIP_FRAMES)
    (model,) = (
        content["inputs"] for content in nodes.values() if content["class_type"] == "FrameInterpolate"
    )
    assert model["multiplier"] == [source, windows.MULTIPLIER]
    assert nodes[source]["inputs"]["interpolation"] == "recipe"


def test_without_a_recipe_they_are_interpolated_as_they_are_read() -> None:
    nodes, end = built(Mastering(fps=25, interpolation="blend", upscale=UPSCALE))
    assert upstream(nodes, end) == ["ImageUpscaleWithModel", windows.CLIP_FRAMES, "StoryStudio_Clip"]
    (source,) = (
        content["inputs"] for content in nodes.values() if content["class_type"] == windows.CLIP_FRAMES
    )
    assert source == {"clip": ["1", 0], "fps": "25", "interpolation": "blend"}


def test_the_name_of_a_master_is_not_part_of_its_key() -> None:
    nodes, end = built(Mastering(fps=24, interpolation="motion"))
    changed = {**nodes, end: {**nodes[end], "inputs": {**nodes[end]["inputs"], "name": "another"}}}
    other = {**nodes, end: {**nodes[end], "inputs": {**nodes[end]["inputs"], "interpolation": "blend"}}}

    def key(graph: Nodes) -> str:
        return Keys(graph.__getitem__, lambda *_: None, lambda _: "").of(end)

    assert key(nodes) == key(changed) != key(other)


def frames_recipe(**changes: Any) -> str:
    nodes = json.loads((FOLDER / "upscale_model_frames.json").read_text("utf-8")) | changes
    return json.dumps({node: content for node, content in nodes.items() if content})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"4": None}, r"needs one node titled \$frames with one linked input"),
        ({"1": {"class_type": "LoadImage", "inputs": {}}}, r"needs a second node titled \$frames"),
        (
            {"5": {"class_type": "LoadImage", "inputs": {}, "_meta": {"title": "$frames"}}},
            "has two nodes titled",
        ),
    ],
)
def test_a_frames_recipe_begins_and_ends_with_frames(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Problems, match=message):
        read_recipe(frames_recipe(**changes), "frames", "own.json")


def test_the_models_of_the_shipped_recipes_are_named_with_their_folders() -> None:
    files = [
        file
        for recipe in (UPSCALE, INTERPOLATE)
        for node in recipe.nodes.values()
        for file in named_files(node)
    ]
    assert files == [
        ("upscale_models", "RealESRGAN_x4plus.safetensors"),
        ("frame_interpolation", "rife_v4.26.safetensors"),
    ]


def test_only_what_depends_on_the_frames_is_repeated() -> None:
    nodes, end = built(Mastering(fps=24, interpolation=INTERPOLATE, upscale=UPSCALE))
    repeat = windows.repeated(nodes.__getitem__, Link(*nodes[end]["inputs"]["frames"]))
    assert [nodes[node]["class_type"] for node in repeat.nodes] == [
        "FrameInterpolate",
        "ImageUpscaleWithModel",
    ]
    assert not repeat.is_frame_by_frame(nodes.__getitem__)
    assert {nodes[link.node]["class_type"] for link in repeat.shared} == {
        "FrameInterpolationModelLoader",
        "UpscaleModelLoader",
    }
    values = {link: f"model of {link.node}" for link in repeat.shared}
    window, added = windows.window_nodes(nodes.__getitem__, repeat, "run", 3, values, {windows.MULTIPLIER: 2})
    placed = {content["class_type"]: content["inputs"] for content in window.values()}
    assert len(window) == 4 and window[added.node]["class_type"] == windows.WINDOW
    assert placed["FrameInterpolate"] == {
        "interp_model": next(
            value for link, value in values.items() if "Interp" in nodes[link.node]["class_type"]
        ),
        "images": [f"run.3.{repeat.source}", 0],
        "multiplier": 2,
    }


@pytest.mark.parametrize("count", [1, 16, 17, 300])
def test_windows_are_requested_in_order_in_few_levels(count: int) -> None:
    nodes, end = windows.one_by_one("run", [Link(str(number)) for number in range(count)])

    def requested(link: list[Any], depth: int = 0) -> list[str]:
        assert depth <= 3
        if link[0] not in nodes:
            return [link[0]]
        inputs = nodes[link[0]]["inputs"]
        return [
            one for name in windows.INPUTS if name in inputs for one in requested(inputs[name], depth + 1)
        ]

    assert requested(list(end)) == [str(number) for number in range(count)]
    assert [node for node, content in nodes.items() if content["inputs"]["step"] == "end"] == [end.node]
