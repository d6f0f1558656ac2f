"""Kinds of scenes: what a story accepts, what a dialogue becomes, and which nodes make the clips."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from story_studio.story.clip_graph import segments
from story_studio.story.formats import SHAPES
from story_studio.story.graph import Files, Graph, Plan, SceneId, build, still_size
from story_studio.story.plan import profile_of
from story_studio.story.problems import Problems
from story_studio.story.recipes import Link, Recipe
from story_studio.story.scene import DEFAULT_MOTION, DEFAULT_VIDEO_PROMPT
from story_studio.story.schema import Story, parse, read

CHARACTERS = {"mara": {"description": "a keeper of seventy"}, "tom": {"name": "Old Tom"}}
DIALOGUE = {
    "id": "lamp",
    "prompt": "a lamp room at night",
    "title": "The lamp room",
    "transition": "dip",
    "pause_after": 1.5,
    "lines": [
        {"character": "mara", "text": "Who is there?", "still_take": "a" * 24},
        {"speaker": "tom", "audio_url": "tom.wav", "text": "Me.", "pause_after": 0.7},
        {"text": "Nobody spoke for a while.", "prompt": "the sea"},
    ],
}


def story(*scenes: Mapping[str, Any], **fields: Any) -> Story:
    return parse({"project_id": "tale", "characters": CHARACTERS, "scenes": list(scenes), **fields})


def faults(*scenes: Mapping[str, Any], **fields: Any) -> str:
    with pytest.raises(Problems) as caught:
        story(*scenes, **fields)
    return "\n".join(map(str, caught.value.problems))


def graph_of(of_story: Story, files: Mapping[str, Files] | None = None) -> Graph:
    named = {scene.id: Files("voice.wav", None, scene.clip) for scene in of_story.scenes}
    return build([Plan(of_story, profile_of(of_story), named | dict(files or {}))])


@pytest.mark.parametrize(
    ("scene", "kind", "is_spoken"),
    [
        ({"prompt": "x", "audio": "a.wav"}, "talking", False),
        ({"prompt": "x", "text": "hi"}, "talking", True),
        ({"prompt": "x", "text": "hi", "audio": "a.wav"}, "talking", False),
        ({"prompt": "x", "text": "hi", "kind": "narrated"}, "narrated", True),
        ({"prompt": "x", "seconds": 4}, "silent", False),
        ({"prompt": "x", "seconds": 4, "text": "Later"}, "silent", False),
        ({"clip": "shot.mp4"}, "clip", False),
        ({"clip_url": "shot.mp4", "text": "what is said in it"}, "clip", False),
        ({"clip": "shot.mp4", "mute": True, "text": "said over it"}, "clip", True),
        ({"clip": "shot.mp4", "from": 1, "to": 2.5, "kind": "clip"}, "clip", False),
    ],
)
def test_the_kind_of_a_scene_follows_from_what_it_has(
    scene: dict[str, Any], kind: str, is_spoken: bool
) -> None:
    (read,) = story({"id": "one", **scene}).scenes
    assert (read.kind_of, read.is_spoken, read.place) == (kind, is_spoken, "scenes[0]")


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        ({"prompt": "x"}, "needs a voice"),
        ({"prompt": "x", "seconds": 3, "audio": "a.wav"}, "is silent and has `audio`"),
        ({"prompt": "x", "kind": "narrated", "text": "hi", "seconds": 3}, "`pause_after` lengthens it"),
        ({"prompt": "x", "kind": "silent"}, "needs `seconds`"),
        ({"prompt": "x", "kind": "clip"}, "needs `clip`"),
        ({"clip": "a.mp4", "from": 3, "to": 2}, "ends (`to: 2`) before it begins (`from: 3`)"),
        ({"clip": "a.mp4", "seconds": 2}, "trim your clip with `from` and `to`"),
        ({"clip": "a.mp4", "kind": "narrated"}, "is of the kind narrated"),
        ({"prompt": "x", "audio": "a.wav", "to": 2, "mute": True}, "has `to`, `mute` and no `clip`"),
        ({"prompt": "x", "audio": "a.wav", "establishing": 2}, "belongs to a dialogue"),
        ({"audio": "a.wav"}, "needs a `prompt`, or its own `image`"),
        ({"prompt": "x", "kind": "sung", "audio": "a.wav"}, "scenes[0].kind"),
        ({"prompt": "x", "audio": "a.wav", "character": "marra"}, "scenes[0].character: 'marra'"),
        ({"prompt": "x", "lines": [{"character": "mara"}]}, "scenes[0].lines[0]: needs a `text`"),
        (
            {"prompt": "x", "lines": [{"character": "zed", "text": "x"}]},
            "scenes[0].lines[0].character: 'zed'",
        ),
        ({"prompt": "x", "text": "a", "lines": [{"text": "b"}]}, "has `lines` and `text`"),
        ({"prompt": "x", "kind": "silent", "seconds": 1, "lines": [{"text": "b"}]}, "has `lines` and"),
    ],
)
def test_what_does_not_fit_a_kind_is_explained(scene: dict[str, Any], said: str) -> None:
    assert said in faults({"id": "one", **scene})


def test_faults_of_a_scene_are_reported_together() -> None:
    said = faults({"id": "one", "clip": "a.mp4", "seconds": 1, "from": 3, "to": 2})
    assert "trim your clip" in said
    assert "before it begins" in said


def test_a_dialogue_becomes_shots_that_cut_between_speakers() -> None:
    before = {"id": "before", "prompt": "x", "audio": "a.wav"}
    scenes = story(before, DIALOGUE).scenes
    assert [scene.id for scene in scenes] == ["before", "lamp.0", "lamp.1", "lamp.2", "lamp.3"]
    assert [scene.kind_of for scene in scenes[1:]] == ["silent", "talking", "talking", "narrated"]
    assert [scene.place for scene in scenes] == [
        "scenes[0]",
        "scenes[1]",
        "scenes[1].lines[0]",
        "scenes[1].lines[1]",
        "scenes[1].lines[2]",
    ]
    assert [scene.dialogue for scene in scenes] == ["", "lamp", "lamp", "lamp", "lamp"]
    assert [scene.continues for scene in scenes[1:]] == [False, True, True, True]
    assert [scene.transition for scene in scenes[1:]] == ["cut", "cut", "cut", "dip"]
    assert [scene.pause_after for scene in scenes[1:]] == [0.0, 0.2, 0.7, 1.5]
    assert scenes[1].title == "The lamp room"
    assert (scenes[1].seconds, "{mara} and {tom}" in scenes[1].prompt) == (2.0, True)
    assert [scene.character for scene in scenes[2:]] == ["mara", "tom", ""]
    assert (scenes[2].still_take, scenes[3].audio, scenes[4].prompt) == ("a" * 24, "tom.wav", "the sea")
    assert "{tom}" in scenes[3].prompt
    assert "a lamp room at night" in scenes[3].prompt


@pytest.mark.parametrize(
    ("changed", "ids"),
    [
        ({"establishing": 0}, ["lamp.1", "lamp.2", "lamp.3"]),
        ({"lines": DIALOGUE["lines"][:1]}, ["lamp.1"]),
        ({"lines": DIALOGUE["lines"][:1], "establishing": 3}, ["lamp.0", "lamp.1"]),
    ],
)
def test_an_establishing_shot_shows_several_speakers_unless_it_is_not_wanted(
    changed: dict[str, Any], ids: list[str]
) -> None:
    assert [scene.id for scene in story(DIALOGUE | changed).scenes] == ids


def test_a_narrated_dialogue_moves_no_lips() -> None:
    kinds = [scene.kind_of for scene in story(DIALOGUE | {"kind": "narrated"}).scenes]
    assert kinds == ["silent", "narrated", "narrated", "narrated"]


def test_the_shots_of_a_dialogue_are_a_story_again() -> None:
    read = story(DIALOGUE, {"id": "own", "clip": "a.mp4", "from": 1.5, "to": 4})
    data = read.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    again = parse(data)
    assert [scene.model_dump() for scene in again.scenes] == [scene.model_dump() for scene in read.scenes]
    assert data["scenes"][-1] == {"id": "own", "clip": "a.mp4", "from": 1.5, "to": 4.0}


def test_shots_count_as_scenes() -> None:
    many = [DIALOGUE | {"id": f"d{number}", "lines": [{"text": "x"}] * 200} for number in range(3)]
    assert "600 shots, and 500 are the most" in faults(*many)
    assert "has the id of another scene" in faults(DIALOGUE, {"id": "Lamp.1", "prompt": "x", "seconds": 1})
    assert "too many for a dialogue" in faults(DIALOGUE | {"id": "x" * 61})
    assert "too many for a dialogue" in faults(DIALOGUE | {"prompt": "x" * 9990})


def test_clips_of_one_recipe_follow_each_other() -> None:
    read = story(
        {"id": "a", "prompt": "x", "seconds": 4},
        {"id": "b", "prompt": "x", "audio": "b.wav"},
        {"id": "c", "clip": "c.mp4", "from": 1, "to": 2, "mute": True},
        {"id": "d", "prompt": "x", "kind": "narrated", "audio": "d.wav"},
        {"id": "e", "prompt": "x", "audio": "e.wav"},
    )
    graph = graph_of(read, {"c": Files(None, None, "c.mp4"), "a": Files(None, None)})
    clips = [graph.clips[SceneId(0, scene)] for scene in "beadc"]
    assert clips == sorted(clips, key=int)
    makers = [graph.nodes[graph.nodes[clip]["inputs"]["video"][0]] for clip in clips]
    assert [maker["class_type"].removeprefix("StoryStudio_") for maker in makers] == [
        "TalkingVideo",
        "TalkingVideo",
        "Animatic",
        "Animatic",
        "OwnClip",
    ]
    silence = graph.nodes[makers[2]["inputs"]["audio"][0]]
    assert (silence["class_type"], silence["inputs"]["duration"]) == ("EmptyAudio", 4.0)
    own = makers[4]["inputs"]
    assert (own["start"], own["end"], own["mute"], "audio" in own) == (1.0, 2.0, True, False)
    frame = graph.nodes[graph.nodes[graph.stills[SceneId(0, "c")]]["inputs"]["image"][0]]
    assert (frame["class_type"], frame["inputs"]["position"]) == ("StoryStudio_VideoFrame", "middle")
    order = []
    film: str | None = graph.nodes[graph.films[0]]["inputs"]["film"][0]
    while film:
        inputs = graph.nodes[film]["inputs"]
        order.insert(0, inputs["title"])
        film = inputs["film"][0] if "film" in inputs else None
    assert order == ["a", "b", "c", "d", "e"]


def test_nobody_is_asked_to_speak_in_a_scene_without_lips() -> None:
    talking, silent, moved = story(
        {"id": "a", "prompt": "x", "audio": "b.wav"},
        {"id": "b", "prompt": "x", "seconds": 2},
        {"id": "c", "prompt": "x", "seconds": 2, "video_prompt": "waves"},
    ).scenes
    assert (talking.motion, silent.motion, moved.motion) == (DEFAULT_VIDEO_PROMPT, DEFAULT_MOTION, "waves")


RECIPE = Recipe(
    {
        "1": {"class_type": "PrimitiveInt", "inputs": {"value": 81}},
        "2": {"class_type": "PrimitiveInt", "inputs": {"value": 16}},
    },
    {"length": "1", "fps": "2"},
    Link("1"),
)


@pytest.mark.parametrize("seconds", [0.2, 0.5, 2.0, 5.0, 5.06, 5.07, 7.3, 10.0, 10.1, 61.7, 1800.0])
def test_segments_cover_the_voice_with_lengths_that_models_make(seconds: float) -> None:
    lengths = segments(RECIPE, seconds)
    frames = lengths[0] + sum(length - 1 for length in lengths[1:])
    assert seconds * 16 <= frames < seconds * 16 + 8 * len(lengths) + 1
    assert all(length % 8 == 1 and length <= 81 for length in lengths)
    assert len(lengths) == max(1, -(-(round(seconds * 16 + 0.499) - 1) // 80))


def test_a_recipe_of_any_length_makes_one_piece() -> None:
    assert segments(Recipe({}, {}, Link("1")), 60.0) == []
    assert segments(RECIPE, 0.0) == [81]


@pytest.mark.parametrize("resolution", SHAPES)
@pytest.mark.parametrize("shape", SHAPES["480p"])
def test_sizes_follow_the_format(resolution: str, shape: Any) -> None:
    read = story(
        {"id": "a", "prompt": "x", "seconds": 2}, format=shape, video_settings={"resolution": resolution}
    )
    width, height = read.frame_size
    across, down = map(int, shape.split(":"))
    assert width / height == pytest.approx(across / down, rel=0.03)
    graph = graph_of(read)
    inputs = graph.nodes[graph.films[0]]["inputs"]
    assert (inputs["width"], inputs["height"]) == (width, height)
    assert still_size(read) == (width // 64 * 64, height // 64 * 64)


@pytest.mark.parametrize("shape", SHAPES["480p"])
def test_a_format_needs_no_quotes_in_yaml(shape: str) -> None:
    text = f"format: {shape}\nscenes:\n- {{id: a, prompt: x, seconds: 2}}\n"
    assert read(text, Path("tale.yaml")).format == shape
    wrong = text.replace(shape, "3:2")
    with pytest.raises(Problems, match=r"format \(line 1\)"):
        read(wrong, Path("tale.yaml"))


def test_a_format_and_another_resolution_contradict_each_other() -> None:
    scene = {"id": "a", "prompt": "x", "seconds": 2}
    assert "9:16 and the resolution 640x480 differ" in faults(
        scene, format="9:16", video_settings={"resolution": "640x480"}
    )
    assert story(scene, format="9:16", video_settings={"resolution": "720x1280"}).frame_size == (720, 1280)


@pytest.mark.parametrize("name", ["../x.safetensors", "/x.safetensors", "C:\\x", "a/../../x", "\\x"])
def test_a_lora_is_a_file_below_its_folder(name: str) -> None:
    scene = {"id": "a", "prompt": "x", "seconds": 2}
    assert "is outside models/loras" in faults(scene, image_settings={"loras": [name]})
    loras = story(scene, image_settings={"loras": ["mara.safetensors", {"file": "b", "strength": 0.5}]})
    assert [(lora.file, lora.strength) for lora in loras.image_settings.loras] == [
        ("mara.safetensors", 1.0),
        ("b", 0.5),
    ]


def test_the_card_of_a_prompt_that_is_left_to_write_shows_what_is_said() -> None:
    scene = {"id": "a", "prompt": "FILL IN: what is seen", "text": "Nobody came."}
    read, written = story(scene, {"id": "b", "prompt": "a pier", "text": "Hello."}).scenes
    tale = story(scene)
    assert tale.subject_of(read) == "Nobody came."
    assert tale.subject_of(written) == "a pier"
