"""The audio encoder of a scene's clip, for its Word Times; and Word Times in a prompt."""

from __future__ import annotations

from typing import Any

import pytest

from story_studio.story.graph import Graph
from story_studio.story.order import in_order
from story_studio.story.recipes import Link, load_profile
from story_studio.story.word_times import encoder_file, encoder_of
from tests.story.test_needed import CLIPS, STILLS, files_of, graph_of, needed_in

ENCODER = "wav2vec2_large_english_fp16.safetensors"


def with_words(profile: str) -> Graph:
    """A story's graph with a Word Times for each scene, as the film would link them."""
    graph = graph_of(profile)
    voice = next(name for name, node in graph.nodes.items() if node["class_type"] == "LoadAudio")
    for clip in graph.clips.values():
        link = encoder_of(graph.nodes, clip)
        inputs: dict[str, Any] = {"audio": [voice, 0], "text": "Said", "after": [clip, 0]}
        inputs |= {"audio_encoder": list(link)} if link else {}
        graph.nodes[f"words of {clip}"] = {"class_type": "StoryStudio_WordTimes", "inputs": inputs}
        scene = next(
            node
            for node in graph.nodes.values()
            if node["class_type"] == "StoryStudio_FilmScene" and node["inputs"]["clip"] == [clip, 0]
        )
        scene["inputs"]["words"] = [f"words of {clip}", 0]
    return graph


@pytest.mark.parametrize("profile", ["standard", "turbo", "quality"])
def test_the_encoder_is_that_of_the_clip(profile: str) -> None:
    recipe = load_profile(profile).clip
    link = encoder_of(recipe.nodes, recipe.result.node)
    assert link and recipe.nodes[link.node]["class_type"] == "StoryStudio_S2VModels"
    assert encoder_file(recipe.nodes.__getitem__, list(link)) == ENCODER
    graph = graph_of(profile)
    assert len({encoder_of(graph.nodes, clip) for clip in graph.clips.values()}) == 1


def test_a_draft_has_no_encoder() -> None:
    recipe = load_profile("draft").clip
    assert encoder_of(recipe.nodes, recipe.result.node) is None


def test_what_a_node_waits_for_is_not_its_encoder() -> None:
    nodes = {
        "1": {"class_type": "AudioEncoderEncode", "inputs": {"audio_encoder": ["0", 0]}},
        "2": {"class_type": "StoryStudio_Animatic", "inputs": {"after": ["1", 0]}},
    }
    assert encoder_of(nodes, "2") is None
    assert encoder_of(nodes, "1") == Link("0", 0)


def test_the_file_of_an_encoder_is_known_of_its_loaders_only() -> None:
    nodes = {
        "file": {"class_type": "PrimitiveString", "inputs": {"value": "linked.safetensors"}},
        "stock": {"class_type": "AudioEncoderLoader", "inputs": {"audio_encoder_name": ["file", 0]}},
        "ours": {"class_type": "StoryStudio_S2VModels", "inputs": {"audio_encoder": "ours.safetensors"}},
        "other": {"class_type": "OtherLoader", "inputs": {"audio_encoder": "other.safetensors"}},
    }
    named = {name: encoder_file(nodes.__getitem__, [name, 3 if name == "ours" else 0]) for name in nodes}
    assert named == {"file": None, "stock": "linked.safetensors", "ours": "ours.safetensors", "other": None}
    assert encoder_file(nodes.__getitem__, None) is None


def test_word_times_need_no_models_of_their_own() -> None:
    graph = with_words("standard")
    assert files_of(graph, needed_in(graph)) == STILLS | CLIPS
    assert files_of(graph, needed_in(graph, "abc", "abc")) == set()


def test_in_order_word_times_still_wait_for_their_clip() -> None:
    graph = with_words("standard")
    ordered = in_order(graph.nodes, [*graph.clips.values(), *graph.films.values()], "once")
    assert ordered
    for clip in graph.clips.values():
        assert ordered.nodes[f"words of {clip}"]["inputs"]["after"] == [clip, 0]
