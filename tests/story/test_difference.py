"""What differs between the graph of an earlier result and that of the next."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from driver.rendering.keys import _default_of
from story_studio.story import difference
from story_studio.story.difference import Change, differences, end_of
from story_studio.story.recipes import Nodes
from tests.story.test_keys import graph_of, with_linked_constants, with_typed_constants

GRAPH = graph_of("standard")
STILL, CLIP = next(iter(GRAPH.stills.values())), next(iter(GRAPH.clips.values()))


def compared(after: Nodes, end: str = CLIP, before: Nodes = GRAPH.nodes) -> list[Change]:
    return differences(before, after, (end, end), _default_of)


def changed(cls: str, **values: Any) -> Nodes:
    """The story with these values in all nodes of a class."""
    nodes = copy.deepcopy(GRAPH.nodes)
    found = [node for node in nodes.values() if node["class_type"] == cls]
    assert found and all(name in node["inputs"] for node in found for name in values)
    for node in found:
        node["inputs"] |= values
    return nodes


def test_the_same_graph_has_no_differences_however_it_is_written() -> None:
    nodes = GRAPH.nodes
    assert compared(nodes) == compared(nodes, STILL) == []
    assert compared(with_typed_constants(nodes)) == compared(with_linked_constants(nodes)) == []
    renamed = {f"9:{name}": node for name, node in copy.deepcopy(nodes).items()}
    for node in renamed.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list):
                node["inputs"][name] = [f"9:{value[0]}", value[1]]
    assert differences(nodes, renamed, (CLIP, f"9:{CLIP}"), _default_of) == []
    assert compared(changed("StoryStudio_Clip", name="other")) == []


def test_each_change_is_named_by_what_it_is() -> None:
    assert compared(changed("LoadAudio", audio="b.wav"))[0]._replace(before="") == Change(
        "voice", "", "", "b.wav"
    )
    (vae,) = compared(changed("VAELoader", vae_name="other.safetensors"), STILL)
    assert (vae.what, vae.name, vae.after) == ("setting", "vae_name", "other.safetensors")
    typed = with_typed_constants(GRAPH.nodes)
    prompts = copy.deepcopy(typed)
    for node in prompts.values():
        if node["class_type"] == "CLIPTextEncode":
            node["inputs"]["text"] += " at night"
        if node["class_type"] == "KSampler":
            node["inputs"]["seed"] = 77
    assert {change.what for change in compared(prompts, STILL, typed)} == {"prompt", "seed"}
    assert {"prompt", "negative prompt"} < {change.what for change in compared(prompts, CLIP, typed)}
    # Of what a clip's still is made from, the clip says only that the still changed.
    assert [change.what for change in compared(prompts, CLIP, typed)].count("still") == 1
    assert "seed" not in {change.what for change in compared(prompts, CLIP, typed)}


def test_a_take_and_other_nodes_are_differences() -> None:
    taken = copy.deepcopy(GRAPH.nodes)
    taken[STILL]["inputs"]["take"] = "0" * 24
    assert compared(taken) == [Change("still")]
    # A take that has let go does not stand in the way of what it is made from.
    assert compared(taken, STILL) == []
    taken["own"] = {"class_type": "LoadImage", "inputs": {"image": "a.png"}}
    taken[STILL]["inputs"]["image"] = ["own", 0]
    assert [change.what for change in compared(taken, STILL)] == ["node"]
    other = copy.deepcopy(GRAPH.nodes)
    other["own"] = {"class_type": "LoadImage", "inputs": {"image": "a.png"}, "_meta": {"title": "Mine"}}
    other[STILL]["inputs"]["image"] = ["own", 0]
    (change,) = compared(other, STILL)
    assert (change.what, change.after) == ("node", "Mine")


def test_hostile_graphs_end() -> None:
    loop: Nodes = {
        "a": {"class_type": "StoryStudio_Still", "inputs": {"image": ["b", 0]}},
        "b": {"class_type": "X", "inputs": {"x": ["b", 0], "y": ["a", 0], "z": ["gone", 0]}},
    }
    assert differences(loop, copy.deepcopy(loop), ("a", "a"), lambda cls, name: None) == []


@pytest.mark.parametrize(("more", "expected"), [(0, []), (1, [Change("more")])])
def test_graphs_that_are_too_large_are_said_to_be(more: int, expected: list[Change]) -> None:
    count = difference._MAX_PAIRS + more
    chain: Nodes = {
        str(number): {"class_type": "X", "inputs": {"x": [str(number + 1), 0]}} for number in range(count - 1)
    }
    chain[str(count - 1)] = {"class_type": "X", "inputs": {}}
    assert differences(chain, copy.deepcopy(chain), ("0", "0"), lambda cls, name: None) == expected


def test_the_end_of_a_files_graph_is_what_nothing_is_made_from() -> None:
    assert end_of(GRAPH.nodes, "StoryStudio_Clip") == CLIP
    assert end_of(GRAPH.nodes, "NoSuchNode") is None
