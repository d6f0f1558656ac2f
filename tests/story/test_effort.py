"""How long results take, estimated from those that were made before."""

from __future__ import annotations

import copy

import pytest

from driver.rendering.keys import _default_of
from story_studio.story.effort import Took, estimate, settings_of, sound_behind
from story_studio.story.order import in_order
from story_studio.story.recipes import Nodes
from tests.story.test_difference import CLIP, GRAPH, STILL, changed
from tests.story.test_keys import with_typed_constants


def settings(nodes: Nodes, end: str = STILL) -> str:
    return settings_of(nodes, end, _default_of)


def test_prompts_seeds_and_files_do_not_count_and_settings_do() -> None:
    typed = with_typed_constants(GRAPH.nodes)
    other = copy.deepcopy(typed)
    for node in other.values():
        texts = [name for name in ("text", "audio") if isinstance(node["inputs"].get(name), str)]
        node["inputs"] |= dict.fromkeys(texts, "new")
        node["inputs"] |= {"seed": 5} if "seed" in node["inputs"] else {}
    assert settings(typed) == settings(other) == settings(GRAPH.nodes)
    assert settings(changed("VAELoader", vae_name="other.safetensors")) != settings(GRAPH.nodes)
    steps = copy.deepcopy(typed)
    next(node for node in steps.values() if node["class_type"] == "KSampler")["inputs"]["steps"] = 99
    assert settings(steps) != settings(typed) and settings(steps, CLIP) == settings(typed, CLIP)


def test_a_graph_that_is_queued_has_the_settings_of_the_one_on_the_canvas() -> None:
    queued = in_order(GRAPH.nodes, [STILL, CLIP], "1")
    assert queued
    assert settings(queued.nodes, CLIP) == settings(GRAPH.nodes, CLIP)


def test_the_length_of_a_clip_is_that_of_its_recording_as_far_as_it_is_used() -> None:
    nodes: Nodes = {
        "voice": {"class_type": "LoadAudio", "inputs": {"audio": "a.wav"}},
        "trim": {"class_type": "TrimAudioDuration", "inputs": {"audio": ["voice", 0], "duration": 4.0}},
        "video": {"class_type": "X", "inputs": {"audio": ["voice", 0]}},
        "clip": {"class_type": "StoryStudio_Clip", "inputs": {"video": ["video", 0]}},
    }

    def length(found: float | None) -> float | None:
        return sound_behind(nodes, "clip", lambda node: found if node["class_type"] == "LoadAudio" else None)

    assert length(9.0) == 9.0 and length(None) is None
    nodes["video"]["inputs"]["audio"] = ["trim", 0]
    assert length(9.0) == 4.0 and length(2.0) == 2.0


def test_an_estimate_is_from_the_same_settings_and_says_what_reading_models_adds() -> None:
    taken = [Took("a", 2, 50, True), Took("a", 2, 20, False), Took("a", 4, 40, False), Took("b", 1, 7, True)]
    found = estimate([("a", 3), ("b", 2), ("c", 1), ("a", None)], taken)
    assert found.each == [pytest.approx(30), pytest.approx(14), None, None]
    # The one first result of these settings took 30 seconds more than its work; of b nothing else is known.
    assert found.first == pytest.approx(30) and found.measured == 4
    assert estimate([("c", 1)], taken) == ([None], 0.0, 0)
