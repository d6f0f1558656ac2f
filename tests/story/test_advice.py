"""What is said about a story before it is rendered, and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from story_studio.story import schema
from story_studio.story.advice import advice, check_lengths, check_prompts
from story_studio.story.plan import Files, Plan, profile_of
from story_studio.story.problems import Problems
from story_studio.story.script.read import story_from_script
from story_studio.story.shown import is_english, names_somebody, small_face

DEMO = Path(__file__).parents[2] / "workflows" / "demo" / "story.yaml"
TALKING = [
    "Chest-up portrait of a weathered woman of seventy, a small golden light far away behind her",
    "A fisherman at the wheel of a small boat, facing the camera",
    "close-up of an old lighthouse keeper, crowd in the background, bokeh",
    "cinematic medium shot, a waitress in a diner, neon, 35mm",
    "Captain Ahab on deck of the Pequod, storm, dramatic light",
    "a red fox in a waistcoat reads the news at a desk",
    "the engineer explains a turbine, factory hall, warm light",
    "a robot with a brass face in the lamp room",
    "two friends in a cafe, one of them looks at the camera",
    "Her eyes in the rear mirror of a taxi",
    "anime style, silver haired mage with a staff",
    "1girl, solo, upper body, looking at viewer",
    "photo of the CEO of a bakery, smiling, shallow depth of field",
    "Close shot of a shopkeeper behind the counter of a toy store",
    "the twins at the kitchen table",
]
"""Prompts of talking scenes of many styles, of which nothing is to be said."""


def plan_of(scenes: list[dict[str, Any]], profile: str = "turbo", **more: Any) -> Plan:
    scenes = [{"id": f"s{n}", **scene} for n, scene in enumerate(scenes, 1)]
    story = schema.parse({"project_id": "tale", "profile": profile, "scenes": scenes, **more})
    return Plan(story, profile_of(story), {scene.id: Files("voice.wav", None) for scene in story.scenes})


def say(prompt: str, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "audio": "voice.wav", **more}


@pytest.mark.parametrize("profile", ["draft", "turbo", "quality"])
def test_nothing_is_said_about_the_demo_and_about_good_prompts(profile: str) -> None:
    story = schema.load(DEMO).model_copy(update={"profile": profile})
    assert advice(Plan(story, profile_of(story), {})) == []
    assert advice(plan_of([say(prompt) for prompt in TALKING], profile)) == []


def test_faces_that_are_too_small_are_named_with_the_words_that_say_so() -> None:
    prompts = {
        "Wide shot of a lighthouse keeper on a cliff": "wide shot",
        "an aerial view of a fishing boat, the captain at the wheel": "aerial",
        "the silhouette of a man at the window": "silhouette",
        "a monk seen from behind, at the altar": "seen from behind",
        "A tiny figure of a woman in the distance": "tiny figure",
        "a crowd at the market": "crowd",
    }
    for prompt, words in prompts.items():
        assert small_face(prompt) == words, prompt
    (warning,) = advice(plan_of([say(prompt) for prompt in prompts]))
    assert warning.startswith('s1, s2, s3, s4 and 2 more: talks, and its prompt says "wide shot", "aerial"')
    # Where nobody speaks, a view may be wide.
    assert advice(plan_of([say(prompt, kind="narrated") for prompt in prompts])) == []
    assert advice(plan_of([{"prompt": prompt, "seconds": 3} for prompt in prompts])) == []
    # An own image may show a face whatever the prompt says, and a draft has no faces.
    assert advice(plan_of([say(next(iter(prompts)), image="own.png")])) == []
    assert advice(plan_of([say(prompt) for prompt in prompts], "draft")) == []


def test_a_take_silences_advice_only_if_it_holds_whatever_changes() -> None:
    small = "Wide shot of a lighthouse keeper on a cliff"
    always, while_unchanged = "0" * 24, f"{'0' * 24}@{'1' * 24}"
    for name in ("still_take", "clip_take"):
        assert advice(plan_of([say(small, **{name: always})])) == []
        assert len(advice(plan_of([say(small, **{name: while_unchanged})]))) == 1


@pytest.mark.parametrize(
    "prompt",
    [
        "a stormy sea and a lighthouse tower at dawn",
        "The harbour in winter, snow on the roofs",
        "an empty street in the rain, neon signs, a paper lantern in the corner",
        "fog over the mountains at sunrise, cinematic",
    ],
)
def test_a_talking_scene_without_anybody_is_named(prompt: str) -> None:
    (warning,) = advice(plan_of([say(prompt)]))
    assert warning.startswith("s1: talks, and its prompt names nobody") and "kind: narrated" in warning
    assert advice(plan_of([say(prompt, kind="narrated")])) == []


def test_prompts_in_other_languages_are_not_judged() -> None:
    prompts = [
        "海边的老灯塔, 暴风雨",
        "Der Turm und die See im Winter",
        "Un phare dans la tempête, avec des vagues",
    ]
    assert not any(is_english(prompt) for prompt in prompts)
    assert advice(plan_of([say(prompt) for prompt in prompts])) == []
    assert names_somebody("the pianist") and not names_somebody("the piano")


MARA = {"mara": {"description": "a woman of seventy"}, "tom": {"description": "a man of forty"}}


def test_what_characters_do_not_do_is_said() -> None:
    scenes = [say("{mara} at the window"), say("{mara} at sea"), say("an old man at the door")]
    lines = advice(plan_of(scenes, characters=MARA))
    assert [line.partition(":")[0] for line in lines] == ["s3", "characters.tom is used by no scene", "Mara"]
    assert "names no character: write {mara} or {tom}" in lines[0]
    assert "same description and seed" in lines[2] and "not the very same face" in lines[2]
    # A recipe that takes references, or a LoRA, keeps the face.
    both = [say("{mara} at the window"), say("{mara} and {tom} at sea")]
    more = {"image_settings": {"reference_workflow": "qwen_image_edit_still.json"}, "characters": MARA}
    assert advice(plan_of(both, **more)) == []
    with_lora = {**MARA, "mara": {**MARA["mara"], "loras": ["mara.safetensors"]}}
    assert advice(plan_of(both, characters=with_lora)) == []
    assert advice(plan_of(both, "draft", characters=MARA)) == []


def test_a_language_that_the_encoder_does_not_know_is_said_only_where_it_listens() -> None:
    scene = say("a woman at the window")
    (warning,) = advice(plan_of([scene], language="de-AT"))
    assert warning.startswith("s1: speaks de-AT") and "wav2vec2_large_english_fp16.safetensors" in warning
    assert advice(plan_of([scene], language="en-GB")) == []
    assert advice(plan_of([scene], "draft", language="de")) == []
    assert advice(plan_of([{**scene, "kind": "narrated"}], language="de")) == []
    assert advice(plan_of([scene])) == []


def test_what_has_no_effect_in_a_kind_of_scene_is_said() -> None:
    scenes = [
        {"clip": "shot.mp4", "video_prompt": "The sea moves", "seed": 3},
        {"prompt": "the sea", "seconds": 3, "video_prompt": "Waves", "text": "A year later."},
        {"prompt": "a woman at the window", "audio": "a.wav", "music": False},
    ]
    lines = advice(plan_of(scenes, voice_settings={"voice": "hibari/heart"}))
    assert [line[:40] for line in lines] == [
        "s1: `video_prompt` has no effect in your",
        "s1: `seed` has no effect in your own cli",
        "s2: `video_prompt` has no effect: the re",
        "s3: `music: false` has no effect: the fi",
        "voice_settings has no effect: no scene h",
    ]


def test_unwritten_prompts_are_refused_outside_drafts() -> None:
    scenes = [say("FILL IN: who says this?"), say("a woman"), say("FILL IN", image="own.png")]
    check_prompts(plan_of(scenes, "draft"))
    with pytest.raises(Problems) as caught:
        check_prompts(plan_of(scenes))
    ((where, what),) = caught.value.problems
    assert where == "scenes[0].prompt" and what.startswith(
        'begins with "FILL IN": write what the image shows'
    )


def test_what_a_script_leaves_to_write_is_named_once() -> None:
    text = "Mara: Hi.\nTom: Ho.\nMara: Hi.\nTom: Ho.\n\nIt was late.\n\nMara: Bye."
    story = schema.parse(story_from_script("a.txt", text).data | {"profile": "turbo"})
    files = {scene.id: Files("a.wav", None) for scene in story.scenes}
    with pytest.raises(Problems) as caught:
        check_prompts(Plan(story, profile_of(story), files))
    assert [problem.where for problem in caught.value.problems] == [
        *("scenes[0].prompt", "scenes[1].prompt", "scenes[2].prompt"),
        *("characters.mara.description", "characters.tom.description"),
    ]


def test_a_scene_of_more_parts_than_a_graph_holds_is_refused() -> None:
    data: dict[str, Any] = {
        "profile": "turbo",
        "video_settings": {"narrated_workflow": "wan22_i2v_clip.json"},
        "scenes": [
            {"id": "long", "prompt": "the sea", "kind": "narrated", "audio": "a.wav"},
            {"id": "fits", "prompt": "the sea", "kind": "narrated", "audio": "b.wav"},
            {"id": "still", "prompt": "the sea", "seconds": 600},
        ],
    }
    story = schema.parse(data)
    lengths = {"long": 230.0, "fits": 200.0, "still": 0.0}
    files = {scene: Files("a.wav", None, seconds=seconds) for scene, seconds in lengths.items()}
    with pytest.raises(Problems) as caught:
        check_lengths(Plan(story, profile_of(story), files))
    long, still = caught.value.problems
    assert long.where == "scenes[0]" and "in 46 parts, and 40 are the most" in long.what
    assert still.where == "scenes[2]" and "at most 200 s" in still.what
    # A camera moves over a still for any time.
    check_lengths(Plan(story, profile_of(schema.parse(data | {"video_settings": {}})), files))
