"""Clips that a recipe makes in several runs."""

from __future__ import annotations

import pytest

from story_studio.story.clip_graph import segments
from story_studio.story.graph import Files, Plan, build
from story_studio.story.plan import profile_of
from story_studio.story.problems import Problems
from story_studio.story.recipes import FOLDER, load_recipe
from story_studio.story.schema import parse


@pytest.mark.parametrize(
    ("recipe", "seconds", "frames"),
    [
        ("wan22_i2v_clip", 0.4, [9]),
        ("wan22_i2v_clip", 5.0, [81]),
        ("wan22_i2v_clip", 12.0, [65] * 3),
        ("infinitetalk_clip", 3.0, [81]),
        ("infinitetalk_clip", 8.0, [73] * 3),
        ("animatic_clip", 60.0, []),
    ],
)
def test_the_runs_of_a_recipe_are_as_long_as_the_voice(
    recipe: str, seconds: float, frames: list[int]
) -> None:
    assert segments(load_recipe(FOLDER / f"{recipe}.json", "clip"), seconds) == frames


def test_lips_go_on_with_the_part_of_the_voice_that_follows() -> None:
    story = parse(
        {
            "project_id": "tale",
            "profile": "draft",
            "video_settings": {"workflow": "infinitetalk_clip.json"},
            "scenes": [{"id": "boat", "prompt": "a sailor", "audio": "voice.wav"}],
        }
    )
    nodes = build([Plan(story, profile_of(story), {"boat": Files("voice.wav", None, seconds=8.0)})]).nodes
    encoded = [
        node["inputs"]["audio"][0] for node in nodes.values() if node["class_type"] == "AudioEncoderEncode"
    ]
    assert [nodes[source]["class_type"] for source in encoded] == ["LoadAudio"] + ["TrimAudioDuration"] * 2
    # 72 new frames a run, at 25 frames a second.
    assert [nodes[source]["inputs"]["start_index"] for source in encoded[1:]] == pytest.approx([2.88, 5.76])
    (own,) = (node for node in nodes.values() if node["class_type"] == "StoryStudio_OwnClip")
    assert nodes[own["inputs"]["audio"][0]]["class_type"] == "LoadAudio"


def test_a_recipe_without_a_voice_is_not_for_talking_scenes() -> None:
    story = parse(
        {
            "project_id": "tale",
            "video_settings": {"workflow": "wan22_i2v_clip.json"},
            "scenes": [{"id": "boat", "prompt": "a sailor", "audio": "voice.wav"}],
        }
    )
    with pytest.raises(Problems, match=r"has no parameter \$audio.*narrated_workflow"):
        profile_of(story)
