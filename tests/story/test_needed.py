"""What of a graph has to run, the model files of that, and the prompts that are encoded together."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from story_studio.story.graph import Files, Graph, Plan, build
from story_studio.story.needed import Needed, needed_nodes
from story_studio.story.recipes import load_profile
from story_studio.story.schema import parse

SCENES = ("a", "b", "c")
STILLS = {
    ("still", "diffusion_models", "z_image_turbo_bf16.safetensors"),
    ("still", "text_encoders", "qwen_3_4b.safetensors"),
    ("still", "vae", "ae.safetensors"),
}
CLIPS = {
    ("clip", "diffusion_models", "wan2.2_s2v_14B_fp8_scaled.safetensors"),
    ("clip", "text_encoders", "umt5_xxl_fp8_e4m3fn_scaled.safetensors"),
    ("clip", "vae", "wan_2.1_vae.safetensors"),
    ("clip", "audio_encoders", "wav2vec2_large_english_fp16.safetensors"),
}
LORA = "wan2.2_t2v_lightx2v_4steps_lora_v1.1_high_noise.safetensors"


def graph_of(profile: str = "standard", **more: Any) -> Graph:
    scenes = [{"id": name, "prompt": f"Prompt {name}", "audio": "voice.wav"} for name in SCENES]
    story = parse({"project_id": "tale", "profile": profile, "scenes": scenes, **more})
    return build([Plan(story, load_profile(profile), {name: Files("voice.wav", None) for name in SCENES})])


def needed_in(graph: Graph, stills: Collection[str] = (), clips: Collection[str] = ()) -> Needed:
    """What has to run if these scenes have their stills and clips."""
    finished = {node for scene, node in graph.stills.items() if scene.scene in stills}
    finished |= {node for scene, node in graph.clips.items() if scene.scene in clips}
    return needed_nodes(graph.nodes, graph.nodes.__getitem__, finished)


def files_of(graph: Graph, needed: Needed) -> set[tuple[str, str, str]]:
    return set(needed.files(graph.nodes.__getitem__))


@pytest.mark.parametrize("film", [True, False])
def test_a_new_story_needs_the_models_of_both_phases(film: bool) -> None:
    graph = graph_of(film=film)
    assert files_of(graph, needed_in(graph)) == STILLS | CLIPS


def test_the_lora_of_a_profile_is_needed() -> None:
    graph = graph_of("turbo")
    assert files_of(graph, needed_in(graph)) == STILLS | CLIPS | {("clip", "loras", LORA)}


def test_a_draft_needs_no_models() -> None:
    graph = graph_of("draft")
    assert files_of(graph, needed_in(graph)) == set()


@pytest.mark.parametrize("film", [True, False])
def test_what_is_finished_needs_nothing(film: bool) -> None:
    graph = graph_of(film=film)
    assert files_of(graph, needed_in(graph, stills=SCENES)) == CLIPS
    assert files_of(graph, needed_in(graph, SCENES, SCENES)) == set()
    # The still of a finished clip is rendered for the contact sheet.
    assert files_of(graph, needed_in(graph, clips=SCENES)) == STILLS


def test_the_prompts_of_unfinished_scenes_are_encoded_together_in_order() -> None:
    graph = graph_of()
    prompts = needed_in(graph, stills=["b"]).prompts(graph.nodes.__getitem__)
    assert prompts["qwen_3_4b.safetensors"] == ["Prompt a", "Prompt c"]
    # All scenes have the same clip prompt and negative prompt.
    assert len(prompts["umt5_xxl_fp8_e4m3fn_scaled.safetensors"]) == 2
    assert needed_in(graph, SCENES, SCENES).prompts(graph.nodes.__getitem__) == {}


def test_a_computed_prompt_is_left_out() -> None:
    graph = graph_of()
    for node in graph.nodes.values():
        if node["class_type"] == "CLIPTextEncode":
            joined = {"class_type": "StringConcatenate", "inputs": {"string_a": "x", "string_b": "y"}}
            graph.nodes["joined"] = joined
            node["inputs"]["text"] = ["joined", 0]
            break
    else:
        pytest.fail("The graph has no CLIPTextEncode.")
    prompts = needed_in(graph).prompts(graph.nodes.__getitem__)
    assert prompts["qwen_3_4b.safetensors"] == ["Prompt b", "Prompt c"]


def test_a_story_of_many_scenes_is_searched_once() -> None:
    scenes = [{"id": f"s{number}", "prompt": "x", "audio": "v.wav"} for number in range(500)]
    story = parse({"project_id": "tale", "profile": "standard", "scenes": scenes})
    files = {f"s{number}": Files("v.wav", None) for number in range(500)}
    graph = build([Plan(story, load_profile("standard"), files)])
    asked: list[str] = []

    def get_node(node_id: str) -> dict[str, Any]:
        asked.append(node_id)
        return graph.nodes[node_id]

    needed_nodes(graph.nodes, get_node, ())
    assert len(asked) < 6 * len(graph.nodes)


def test_an_image_without_a_still_belongs_to_the_phase_before_the_clips() -> None:
    graph = graph_of()
    stills = set(graph.stills.values())
    for node in graph.nodes.values():
        if node["class_type"] == "StoryStudio_TalkingVideo":
            node["inputs"]["image"] = graph.nodes[node["inputs"]["image"][0]]["inputs"]["image"]
    nodes = {node_id: node for node_id, node in graph.nodes.items() if node_id not in stills}
    nodes = {node_id: node for node_id, node in nodes.items() if "Storyboard" not in node["class_type"]}
    nodes = {node_id: node for node_id, node in nodes.items() if "ContactSheet" not in node["class_type"]}
    for node in nodes.values():
        node["inputs"].pop("after", None)
    needed = needed_nodes(nodes, nodes.__getitem__, ())
    assert set(needed.files(nodes.__getitem__)) == STILLS | CLIPS


def test_a_branch_with_a_missing_node_is_left_out() -> None:
    """ComfyUI runs the other branches of such a workflow."""
    graph = graph_of()
    nodes = {node_id: node for node_id, node in graph.nodes.items() if "Loader" not in node["class_type"]}
    needed = needed_nodes(nodes, nodes.__getitem__, ())
    assert set(needed.files(nodes.__getitem__)) == CLIPS | {
        ("still", "text_encoders", "qwen_3_4b.safetensors")
    }
    del nodes[
        next(node_id for node_id, node in nodes.items() if node["class_type"] == "StoryStudio_TextEncoder")
    ]
    prompts = needed_nodes(nodes, nodes.__getitem__, ()).prompts(nodes.__getitem__)
    assert prompts.keys() == {"umt5_xxl_fp8_e4m3fn_scaled.safetensors"}
