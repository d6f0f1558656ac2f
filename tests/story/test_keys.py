"""A key depends on what a result is made from, not on how its graph is written."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from driver.rendering.keys import _default_of, predict
from story_studio.story import graph, recipes
from story_studio.story.graph import Graph, SceneId
from story_studio.story.keys import PRIMITIVES, Keys
from story_studio.story.pins import Pin, read_pin
from story_studio.story.recipes import Nodes, is_link
from tests.story.test_graph import plan_of

SETTINGS: dict[str, Any] = {
    "image_settings": {"width": 128, "height": 64, "steps": 3, "cfg": 2.5, "negative_prompt": "rain (hail)"},
    "video_settings": {"resolution": "128x64", "sample_steps": 4, "cfg": 1, "negative_prompt": "wind"},
}
KEYS = {
    "draft": ("06b46e5e2db9ed9eb0d62ac3", "ba097e766d36bce159ae8972"),
    "turbo": ("25eaec3ad794bd1c5c09b072", "e3cf760448ae469ea124fd61"),
    "standard": ("25eaec3ad794bd1c5c09b072", "d1c8d2792b3a8e974c6d2ad1"),
    "quality": ("d1a2c8f13c5157f1b3f30133", "1517dd0af152f4637b35197c"),
}
"""Of the still and clip of a story with typed constants, as version 0.1.0 computed them."""


def graph_of(profile: str) -> Graph:
    return graph.build([plan_of(profile, scenes=1, **SETTINGS)])


def with_typed_constants(nodes: Nodes) -> Nodes:
    """The workflow with each link from a primitive node replaced by the node's value."""
    typed = copy.deepcopy(nodes)
    for node in typed.values():
        for name, value in node["inputs"].items():
            if is_link(value) and nodes[value[0]]["class_type"] in PRIMITIVES:
                node["inputs"][name] = nodes[value[0]]["inputs"]["value"]
    return typed


def with_linked_constants(nodes: Nodes) -> Nodes:
    """The workflow with each typed constant replaced by a link from a primitive node, through another one."""
    linked = copy.deepcopy(nodes)
    kinds = {bool: "PrimitiveBoolean", int: "PrimitiveInt", float: "PrimitiveFloat", str: "PrimitiveString"}
    for node_id, node in nodes.items():
        if node["class_type"] in PRIMITIVES or node["class_type"].startswith("Load"):
            continue
        for name, value in node["inputs"].items():
            if not is_link(value):
                cls, first, second = kinds[type(value)], f"{node_id} {name} 1", f"{node_id} {name} 2"
                linked[first] = {"class_type": cls, "inputs": {"value": value}}
                linked[second] = {"class_type": cls, "inputs": {"value": [first, 0]}}
                linked[node_id]["inputs"][name] = [second, 0]
    return linked


def keys_of(nodes: Nodes, like: Graph) -> list[str]:
    return list(predict(Graph(nodes, stills=like.stills, clips=like.clips), {}).values())


@pytest.mark.parametrize("profile", recipes.profile_names())
def test_typed_and_linked_constants_give_the_same_keys(profile: str) -> None:
    expected = graph_of(profile)
    keys = keys_of(expected.nodes, expected)
    for nodes in (with_typed_constants(expected.nodes), with_linked_constants(expected.nodes)):
        assert nodes != expected.nodes
        assert keys_of(nodes, expected) == keys


@pytest.mark.parametrize("profile", recipes.profile_names())
def test_each_constant_changes_a_key(profile: str) -> None:
    """Typed or linked, except names and what only sets the order."""
    like = graph_of(profile)
    for nodes in (with_typed_constants(like.nodes), with_linked_constants(like.nodes)):
        before = keys_of(nodes, like)
        made_from = {
            node for end in (*like.stills.values(), *like.clips.values()) for node in upstream(nodes, end)
        }
        for node_id in made_from:
            for name, value in nodes[node_id]["inputs"].items():
                if name in ("name", "after") or is_link(value):
                    continue
                changed = copy.deepcopy(nodes)
                changed[node_id]["inputs"][name] = f"{value}x" if isinstance(value, str) else value + 1
                assert keys_of(changed, like) != before, (nodes[node_id], name)


def upstream(nodes: Nodes, node_id: str) -> set[str]:
    visited, pending = set(), [node_id]
    while pending:
        current = pending.pop()
        if current not in visited:
            visited.add(current)
            inputs = nodes[current]["inputs"].items()
            pending += [
                value[0] for name, value in inputs if is_link(value) and name not in ("name", "after")
            ]
    return visited


@pytest.mark.parametrize(("name", "value"), [("crf", 16.0), ("crf", 16), ("start_with_image", False)])
def test_an_optional_input_at_its_default_is_in_no_key(name: str, value: float) -> None:
    like = graph_of("standard")
    keys = keys_of(like.nodes, like)
    (video,) = (
        node_id for node_id, node in like.nodes.items() if node["class_type"] == "StoryStudio_TalkingVideo"
    )
    for constant, same in ((value, True), (value + 1, False)):
        nodes = copy.deepcopy(like.nodes)
        nodes[video]["inputs"][name] = constant
        assert (keys_of(nodes, like) == keys) is same
        nodes[video]["inputs"][name] = ["constant", 0]
        nodes["constant"] = {"class_type": "PrimitiveFloat", "inputs": {"value": constant}}
        assert (keys_of(nodes, like) == keys) is same


@pytest.mark.parametrize("profile", recipes.profile_names())
def test_typed_and_linked_takes_give_the_same_keys(profile: str) -> None:
    like = graph_of(profile)
    nodes = copy.deepcopy(like.nodes)
    still = like.stills[SceneId(0, "s0")]
    nodes[still]["inputs"]["take"] = ["constant", 0]
    nodes["constant"] = {"class_type": "PrimitiveString", "inputs": {"value": "a" * 24}}
    linked = keys_of(nodes, like)
    nodes[still]["inputs"]["take"] = "a" * 24
    assert linked == keys_of(nodes, like)
    assert linked[0] == "a" * 24


def test_an_undeclared_link_to_a_constant_is_in_the_key() -> None:
    """ComfyUI passes a node the links to inputs that its class does not declare, but no constants."""
    nodes: Nodes = {
        "1": {"class_type": "PrimitiveInt", "inputs": {"value": 1}},
        "2": {"class_type": "LoadImage", "inputs": {"image": "a.png", "undeclared": ["1", 0]}},
        "3": {"class_type": "StoryStudio_Still", "inputs": {"image": ["2", 0]}},
    }
    like = Graph(nodes, stills={SceneId(0, "s0"): "3"})
    before = keys_of(nodes, like)
    nodes["1"]["inputs"]["value"] = 2
    assert keys_of(nodes, like) != before


@pytest.mark.parametrize("profile", KEYS)
def test_results_of_earlier_graphs_with_typed_constants_are_found(profile: str) -> None:
    like = graph_of(profile)
    nodes = with_typed_constants(like.nodes)
    earlier = Keys(nodes.__getitem__, _default_of, lambda node: json.dumps([False]), as_written=True)
    still, clip = like.stills[SceneId(0, "s0")], like.clips[SceneId(0, "s0")]
    assert (earlier.of(still), earlier.of(clip)) == KEYS[profile]


def test_circular_constants_raise() -> None:
    nodes: Nodes = {
        "1": {"class_type": "PrimitiveInt", "inputs": {"value": ["2", 0]}},
        "2": {"class_type": "PrimitiveInt", "inputs": {"value": ["1", 0]}},
        "3": {"class_type": "StoryStudio_Still", "inputs": {"image": ["1", 0]}},
    }
    with pytest.raises(RecursionError):
        keys_of(nodes, Graph(nodes, stills={SceneId(0, "s0"): "3"}))


def test_a_chain_longer_than_python_calls_functions_has_keys() -> None:
    nodes: Nodes = {
        str(number): {"class_type": "Blur", "inputs": {"image": [str(number + 1), 0]}}
        for number in range(3000)
    }
    nodes["3000"] = {"class_type": "Blur", "inputs": {"image": "a.png"}}
    whole = Keys(nodes.__getitem__, lambda cls, name: None, lambda node: "").of("0")
    nodes["3000"]["inputs"]["image"] = "b.png"
    assert Keys(nodes.__getitem__, lambda cls, name: None, lambda node: "").of("0") != whole


def pinned(profile: str, still_take: str = "", clip_take: str = "", **settings: Any) -> tuple[str, str]:
    """The keys of a scene's still and clip with these takes, after a change of settings."""
    story = graph.build([plan_of(profile, scenes=1, **settings)])
    (still,), (clip,) = story.stills.values(), story.clips.values()
    for node, take in ((still, still_take), (clip, clip_take)):
        story.nodes[node]["inputs"]["take"] = take
    keys = predict(story, {})
    return keys[still], keys[clip]


@pytest.mark.parametrize("profile", ["draft", "standard"])
def test_a_take_is_let_go_once_what_it_was_chosen_for_changes(profile: str) -> None:
    """The plain form holds for ever, as in earlier versions; the other as long as the node's own key."""
    take = "a" * 24
    other: dict[str, Any] = {"seed": 7}
    own_still, own_clip = pinned(profile)
    assert pinned(profile, take)[0] == pinned(profile, take, **other)[0] == take
    kept, clip_of_kept = pinned(profile, f"{take}@{own_still}")
    assert (kept, clip_of_kept) == pinned(profile, take), "another still leads to another clip"
    assert pinned(profile, f"{take}@{own_still}", **other) == pinned(profile, **other)
    assert pinned(profile, "", f"{take}@{own_clip}") == (own_still, take)
    assert pinned(profile, "", f"{take}@{own_clip}", **other) == pinned(profile, **other)
    # A clip that was chosen for one still is not shown for another.
    assert pinned(profile, take, f"{take}@{own_clip}") == (take, clip_of_kept)


@pytest.mark.parametrize("take", ["", None])
def test_no_take_is_no_pin(take: str | None) -> None:
    assert read_pin(take) is None


@pytest.mark.parametrize(
    "take", ["a" * 24, f"{'a' * 24}@", f"{'a' * 24}@{'b' * 23}", "latest", f" {'a' * 24} "]
)
def test_what_names_no_own_key_always_holds(take: str) -> None:
    assert read_pin(take) == Pin(take.strip())


def test_keys_of_earlier_versions_let_go_by_todays() -> None:
    """A pin names the key of today's formula, whichever formula looks for what was made from the take."""
    like, take = graph_of("standard"), "a" * 24
    nodes = with_typed_constants(like.nodes)
    (still,) = like.stills.values()
    today = Keys(nodes.__getitem__, _default_of, lambda node: "")
    earlier = Keys(nodes.__getitem__, _default_of, lambda node: "", as_written=True, judge=today)
    assert earlier.own(still) != today.own(still)
    nodes[still]["inputs"]["take"] = f"{take}@{today.own(still)}"
    assert today.of(still) == earlier.of(still) == take
