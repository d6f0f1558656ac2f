"""The first seconds of a clip as a workflow of their own."""

from __future__ import annotations

import copy

import pytest

from driver.rendering.keys import _default_of
from story_studio.story.first_seconds import first_seconds
from story_studio.story.keys import Keys
from story_studio.story.problems import Problems
from story_studio.story.recipes import Nodes
from tests.story.test_difference import CLIP, GRAPH


def key(nodes: Nodes, node: str) -> str:
    return Keys(nodes.__getitem__, _default_of, lambda _: "").of(node)


def test_it_is_made_as_the_clip_from_a_shorter_voice_and_is_no_take_of_it() -> None:
    before = copy.deepcopy(GRAPH.nodes)
    found = first_seconds(GRAPH.nodes, CLIP, 4)
    assert before == GRAPH.nodes and found.node not in GRAPH.nodes
    assert key(found.prompt, found.node) != key(GRAPH.nodes, CLIP)
    kept = found.prompt[found.node]["inputs"]
    assert kept["name"] != GRAPH.nodes[CLIP]["inputs"]["name"] and "take" not in kept
    assert CLIP not in found.prompt
    trims = {name: node for name, node in found.prompt.items() if node["class_type"] == "TrimAudioDuration"}
    ((trim, node),) = trims.items()
    assert node["inputs"]["duration"] == 4
    loaders = [name for name, one in found.prompt.items() if one["class_type"] == "LoadAudio"]
    assert node["inputs"]["audio"] == [loaders[0], 0] and len(loaders) == 1
    assert [trim, 0] in [value for one in found.prompt.values() for value in one["inputs"].values()]
    # Nothing else is made: no film, no sheet, no order.
    used = {
        value[0]
        for one in found.prompt.values()
        for value in one["inputs"].values()
        if isinstance(value, list)
    }
    assert found.prompt.keys() - used == {found.node}


def test_of_a_clip_in_segments_only_the_first_is_made() -> None:
    joined = copy.deepcopy(GRAPH.nodes)
    video = joined[CLIP]["inputs"]["video"]
    joined["second"] = {"class_type": "X", "inputs": {"after_this": video}}
    joined["join"] = {
        "class_type": "StoryStudio_JoinVideos",
        "inputs": {"video": video, "next": ["second", 0]},
    }
    joined[CLIP]["inputs"]["video"] = ["join", 0]
    found = first_seconds(joined, CLIP, 4)
    assert found.prompt[found.node]["inputs"]["video"] == video
    assert not {"join", "second"} & found.prompt.keys()


def test_what_cannot_be_shortened_is_refused() -> None:
    silent: Nodes = {
        "video": {"class_type": "X", "inputs": {}},
        "clip": {"class_type": "StoryStudio_Clip", "inputs": {"video": ["video", 0], "name": "calm"}},
        "loop": {"class_type": "StoryStudio_JoinVideos", "inputs": {"video": ["loop", 0]}},
    }
    with pytest.raises(Problems, match="calm: has no voice or segment"):
        first_seconds(silent, "clip", 4)
    with pytest.raises(Problems, match="There is no clip gone"):
        first_seconds(silent, "gone", 4)
    # Links that lead nowhere or back are the server's to refuse; reading them ends.
    for link in ("gone", "loop", "clip"):
        silent["clip"]["inputs"]["video"] = [link, 0]
        with pytest.raises(Problems):
            first_seconds(silent, "clip", 4)
