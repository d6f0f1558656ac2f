"""Checks and retakes in the graph of a story."""

from __future__ import annotations

from typing import Any

import pytest

from driver.rendering.keys import predict
from story_studio.story import graph, recipes, schema
from story_studio.story.check_graph import retake_seed
from story_studio.story.graph import Graph, SceneId
from story_studio.story.keys import RETAKES
from story_studio.story.needed import needed_nodes
from story_studio.story.order import in_order
from story_studio.story.plan import profile_of
from story_studio.story.problems import Problems
from story_studio.story.scenes import Workflow, seed_of
from tests.story.test_graph import plan_of

I2V = {"narrated_workflow": "wan22_i2v_clip.json"}
TALKING, SILENT, OWN = (SceneId(0, name) for name in ("talking", "silent", "own"))


def every_kind(profile: str = "standard", **more: Any) -> graph.Plan:
    scenes = [
        {"id": "talking", "prompt": "A pier", "audio": "a.wav"},
        {"id": "silent", "prompt": "The sea", "seconds": 2},
        {"id": "own", "clip": "own.mp4"},
    ]
    story = schema.parse({"project_id": "tale", "profile": profile, "scenes": scenes, **more})
    files = {scene.id: graph.Files(scene.audio, None, scene.clip) for scene in story.scenes}
    return graph.Plan(story, profile_of(story), files)


def seed_above(built: Graph, node: str) -> float | None:
    """The seed of the video that a node is linked to."""
    workflow = Workflow(built.nodes)
    place = seed_of(workflow, node)
    return workflow.number(built.nodes[place.id]["inputs"][place.input]) if place else None


def test_a_clip_that_a_model_makes_is_checked() -> None:
    built = graph.build([every_kind(video_settings=I2V)])
    assert set(built.checks) == {TALKING, SILENT}
    inputs = built.nodes[built.checks[TALKING]]["inputs"]
    assert inputs == {
        "clip": [built.clips[TALKING], 0],
        "name": "tale_talking",
        "talking": True,
        "reference": [built.stills[TALKING], 0],
    }
    silent = built.nodes[built.checks[SILENT]]["inputs"]
    assert silent["talking"] is False and "reference" not in silent


def test_camera_moves_and_drafts_are_not_checked() -> None:
    assert set(graph.build([every_kind()]).checks) == {TALKING}
    assert not graph.build([every_kind("draft", quality={"retakes": 2})]).checks
    assert not graph.build([every_kind(quality={"check": False})]).checks


def test_a_retake_is_the_recipe_with_another_seed() -> None:
    plan = every_kind(video_settings=I2V, quality={"retakes": 2})
    built = graph.build([plan])
    for scene in (TALKING, SILENT):
        check = built.nodes[built.checks[scene]]["inputs"]
        retakes = built.retakes[scene]
        assert [check[name] for name in RETAKES[:2]] == [[node, 0] for node in retakes]
        first = next(one for one in plan.story.scenes if one.id == scene.scene)
        seed = plan.story.seed_of(first)
        expected = [retake_seed(seed, number) for number in (1, 2)]
        assert len({seed, *expected}) == 3
        assert [seed_above(built, node) for node in retakes] == expected
    loaders = [node["class_type"] for node in built.nodes.values() if node["class_type"].endswith("Models")]
    assert len(loaders) == 1


def test_the_film_shows_what_the_check_chooses() -> None:
    def shown(**quality: Any) -> list[str]:
        built = graph.build([every_kind(quality=quality)])
        shots = (node for node in built.nodes.values() if node["class_type"] == "StoryStudio_FilmScene")
        return [built.nodes[shot["inputs"]["clip"][0]]["class_type"] for shot in shots]

    clip, check = "StoryStudio_Clip", "StoryStudio_CheckClip"
    assert shown() == [clip, clip, clip]
    assert shown(retakes=1) == [check, clip, clip]


def test_a_take_that_may_have_let_go_keeps_the_retakes() -> None:
    scene = {"id": "s", "prompt": "A pier", "audio": "0.mp3", "clip_take": f"{'0' * 24}@{'1' * 24}"}
    story = schema.parse({"project_id": "tale", "scenes": [scene], "quality": {"retakes": 2}})
    built = graph.build([graph.Plan(story, profile_of(story), {"s": graph.Files("0.mp3", None)})])
    assert len(built.retakes[SceneId(0, "s")]) == 2


def test_a_chosen_take_is_not_made_again() -> None:
    scene = {"id": "s", "prompt": "A pier", "audio": "0.mp3", "clip_take": "0" * 24}
    plan = plan_of(scenes=1)
    story = schema.parse({"project_id": "tale", "scenes": [scene], "quality": {"retakes": 2}})
    built = graph.build([graph.Plan(story, plan.profile, {"s": graph.Files("0.mp3", None)})])
    assert list(built.checks) == [SceneId(0, "s")]
    assert not built.retakes
    assert any(
        "quality.retakes has no effect" in text for text in graph.warnings(plan_of("draft", 1, **RETAKE))
    )


RETAKE: dict[str, Any] = {"quality": {"retakes": 1}}


@pytest.mark.parametrize("profile", recipes.profile_names())
@pytest.mark.parametrize("quality", [{}, {"check": False}, {"retakes": 3}])
def test_checks_change_no_key_of_a_still_or_clip(profile: str, quality: dict[str, Any]) -> None:
    plain, checked = (graph.build([plan_of(profile, quality=each)]) for each in ({"check": False}, quality))
    before, after = predict(plain, {}), predict(checked, {})
    for scene in plain.clips:
        assert after[checked.clips[scene]] == before[plain.clips[scene]]
        assert after[checked.stills[scene]] == before[plain.stills[scene]]


def test_a_retake_has_the_key_of_a_clip_with_its_seed() -> None:
    built = graph.build([plan_of(scenes=1, **RETAKE)])
    (scene, (retake,)) = next(iter(built.retakes.items()))
    entry = {"id": "s0", "prompt": "Scene 0", "audio": "0.mp3", "seed": seed_above(built, retake)}
    story = schema.parse({"project_id": "tale", "scenes": [entry]})
    files = {"s0": graph.Files("story_studio/0.mp3", None)}
    alone = graph.build([graph.Plan(story, recipes.load_profile("standard"), files)])
    # Its still is another one: a scene has one seed for both.
    alone.nodes[alone.stills[scene]]["inputs"]["take"] = predict(built, {})[built.stills[scene]]
    assert predict(alone, {})[alone.clips[scene]] == predict(built, {})[retake]


def test_a_master_of_a_checked_clip_has_the_key_of_one_without_a_check() -> None:
    built = graph.build([plan_of(scenes=1, film={"fps": 24, "interpolation": "blend"})])
    (scene, master) = next(iter(built.masters.items()))
    before = predict(built, {})[master]
    built.nodes[master]["inputs"]["clip"] = [built.checks[scene], 0]
    assert predict(built, {})[master] == before
    built.nodes[built.checks[scene]]["inputs"]["retake_1"] = [built.stills[scene], 0]
    assert predict(built, {})[master] != before


def test_a_check_runs_right_after_its_clip() -> None:
    for quality in ({}, {"retakes": 1}):
        built = graph.build([plan_of(quality=quality), plan_of(project_id="other", quality=quality)])
        outputs = [*built.kept.keys() - {n for each in built.retakes.values() for n in each}]
        outputs += [*built.checks.values(), *built.films.values(), *built.sheets.values()]
        ordered = in_order(built.nodes, outputs, "once")
        assert ordered
        wanted = ordered.nodes[ordered.targets[0]]["inputs"]["queued"]["results"]
        for scene, clip in built.clips.items():
            assert wanted.index(built.checks[scene]) == wanted.index(clip) + 1
        assert wanted.index(built.films[0]) == wanted.index(list(built.checks.values())[2]) + 1


def test_finished_retakes_need_no_models() -> None:
    built = graph.build([plan_of(scenes=1, **RETAKE)])
    nodes = built.nodes

    def models(finished: set[str]) -> set[str]:
        needed = needed_nodes(nodes, nodes.__getitem__, finished)
        return {nodes[node]["class_type"] for node in needed.nodes["clip"]} & {"StoryStudio_TalkingVideo"}

    stills, clips = set(built.stills.values()), set(built.clips.values())
    retakes = {node for each in built.retakes.values() for node in each}
    assert models(stills | clips | retakes) == set()
    assert models(stills | clips) != set()


def test_retakes_without_checks_are_a_problem() -> None:
    with pytest.raises(Problems, match="`check` is off: turn it on, or set `retakes` to 0"):
        plan_of(quality={"check": False, "retakes": 1})
    with pytest.raises(Problems, match="quality.retakes"):
        plan_of(quality={"retakes": 6})
