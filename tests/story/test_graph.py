"""The graph of stories."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from story_studio.story import graph, recipes, schema
from story_studio.story.graph import SceneId
from story_studio.story.recipes import is_link


def plan_of(profile: str = "standard", scenes: int = 3, **more: Any) -> graph.Plan:
    data = {
        "project_id": "tale",
        "profile": profile,
        "scenes": [{"id": f"s{n}", "prompt": f"Scene {n}", "audio": f"{n}.mp3"} for n in range(scenes)],
        **more,
    }
    parsed = schema.parse(data)
    files = {scene.id: graph.Files(f"story_studio/{scene.audio}", scene.image) for scene in parsed.scenes}
    return graph.Plan(parsed, recipes.load_profile(profile), files)


def classes(built: graph.Graph) -> Counter[str]:
    return Counter(node["class_type"] for node in built.nodes.values())


def upstream(built: graph.Graph, node: str) -> set[str]:
    nodes, pending = set(), [node]
    while pending:
        current = pending.pop()
        if current not in nodes:
            nodes.add(current)
            pending += [value[0] for value in built.nodes[current]["inputs"].values() if is_link(value)]
    return nodes


@pytest.mark.parametrize("profile", recipes.profile_names())
@pytest.mark.parametrize("scenes", [1, 3, 30])
def test_each_loader_occurs_once_for_any_number_of_scenes(profile: str, scenes: int) -> None:
    count = classes(graph.build([plan_of(profile, scenes)]))
    assert count["StoryStudio_Still"] == count["StoryStudio_Clip"] == scenes
    loaders = {
        name: number for name, number in count.items() if name.endswith("Loader") or name.endswith("Models")
    }
    assert set(loaders.values()) <= {1}
    assert bool(loaders) == (profile != "draft")


@pytest.mark.parametrize("profile", recipes.profile_names())
def test_every_clip_waits_for_all_stills_and_earlier_clips(profile: str) -> None:
    built = graph.build([plan_of(profile), plan_of(profile, project_id="other")])
    before: set[str] = set()
    renderers = {"StoryStudio_TalkingVideo", "StoryStudio_Animatic"}
    for clip in built.clips.values():
        renderer = next(
            n for n in upstream(built, clip) - before if built.nodes[n]["class_type"] in renderers
        )
        assert set(built.stills.values()) | before <= upstream(built, renderer)
        before |= {clip, renderer}


def test_all_links_lead_to_existing_nodes() -> None:
    built = graph.build([plan_of(), plan_of("draft", project_id="other")])
    for node in built.nodes.values():
        for value in node["inputs"].values():
            assert not is_link(value) or value[0] in built.nodes


def test_settings_reach_the_nodes() -> None:
    built = graph.build(
        [
            plan_of(
                "quality",
                scenes=1,
                style="oil painting",
                image_settings={
                    "width": 640,
                    "height": 512,
                    "steps": 7,
                    "cfg": 3,
                    "negative_prompt": "no cats",
                },
                video_settings={
                    "resolution": "720p",
                    "sample_steps": 9,
                    "cfg": 2,
                    "negative_prompt": "no dogs",
                },
                film={"join": "crossfade", "crossfade_seconds": 1.5, "captions": False},
            )
        ]
    )
    values = Counter(str(node["inputs"].get("value")) for node in built.nodes.values())
    expected = [
        "640",
        "512",
        "7",
        "3.0",
        "no cats",
        "1280",
        "720",
        "9",
        "2.0",
        "no dogs",
        "Scene 0, oil painting",
    ]
    assert all(values[value] for value in expected)
    film = built.nodes[built.films[0]]["inputs"]
    assert (film["join"], film["crossfade_seconds"], film["captions"]) == ("crossfade", 1.5, False)


def test_an_own_image_replaces_the_rendered_one() -> None:
    plan = plan_of("draft", 1)
    plan.files["s0"] = graph.Files("story_studio/0.mp3", "story_studio/own.png")
    built = graph.build([plan])
    assert "StoryStudio_TitleCard" not in classes(built)
    assert (
        built.nodes[built.nodes[built.stills[SceneId(0, "s0")]]["inputs"]["image"][0]]["class_type"]
        == "LoadImage"
    )


def test_a_failed_scene_is_left_out_and_so_is_the_film() -> None:
    without = frozenset({SceneId(0, "s1")})
    built = graph.build([plan_of()], without)
    assert set(built.clips) == {SceneId(0, "s0"), SceneId(0, "s2")}
    assert not built.films
    assert graph.build([plan_of(film={"partial": True})], without).films
    everything = frozenset(SceneId(0, f"s{n}") for n in range(3))
    assert not graph.build([plan_of()], everything).nodes


def test_a_changed_prompt_changes_only_nodes_of_its_scene() -> None:
    before = graph.build([plan_of()])
    changed = plan_of()
    changed.story.scenes[1].prompt = "Something else"
    after = graph.build([changed])
    differing = {n for n in before.nodes if before.nodes[n] != after.nodes.get(n)}
    assert {before.owners[n].scene for n in differing} == {SceneId(0, "s1")}


def test_stills_have_the_size_that_clips_use() -> None:
    assert graph.still_size(plan_of().story) == (832, 448)
    assert graph.still_size(plan_of(video_settings={"resolution": "720p"}).story) == (1280, 704)
    assert graph.still_size(plan_of(image_settings={"width": 832, "height": 480}).story) == (832, 480)


def test_settings_without_effect_give_warnings() -> None:
    settings = {"negative_prompt": "blurry", "cfg": 3}
    turbo = graph.warnings(plan_of("turbo", image_settings=settings, video_settings={"negative_prompt": "x"}))
    assert turbo == [
        "image_settings.cfg has no effect: the profile 'turbo' does not use it.",
        "image_settings.negative_prompt has no effect: the profile 'turbo' does not use it.",
        "video_settings.negative_prompt has no effect at cfg 1: raise cfg, or leave it out.",
    ]
    assert graph.warnings(plan_of("quality", image_settings=settings)) == []
    draft = graph.warnings(plan_of("draft", video_settings={"sample_steps": 4}))
    assert draft == ["video_settings.sample_steps has no effect: the profile 'draft' does not use it."]


def test_text_encoders_read_prompts_literally() -> None:
    built = graph.build([plan_of(scenes=1, style="(soft:1.5)")])
    encoded = [
        node["inputs"]["text"][0]
        for node in built.nodes.values()
        if "CLIP" in node["class_type"] and "text" in node["inputs"]
    ]
    assert r"Scene 0, \(soft:1.5\)" in [built.nodes[node]["inputs"]["value"] for node in encoded]
    card = graph.build([plan_of("draft", scenes=1, style="(soft:1.5)")])
    assert not any("\\" in str(node["inputs"]) for node in card.nodes.values())
