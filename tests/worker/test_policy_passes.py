"""Workflows that may do what they do, judged with the classes of the real server."""

from __future__ import annotations

import json

import pytest

from story_studio.story import graph
from story_studio.story.graph import Files, Plan
from story_studio.story.recipes import FOLDER, load_profile, profile_names
from story_studio.story.schema import Story
from tests.studio import Studio
from tests.worker.tools import ANOTHER_JOB_S, OUTSIDE, Judge, Nodes, empty_image, node, save

UP = "Look ../../up, C:\\up: /etc/passwd [output]"


HARMLESS: list[Nodes] = [
    {"1": empty_image(), "2": save("a/b/%year%-%width%"), "3": node("PreviewImage", images=["1", 0])},
    {"1": node("LoadImage", image="example.png"), "2": node("LoadAudio", audio="folder/a b.wav [input]")},
    {"1": node("LoadImage", image="mine.png"), "2": node("LoadAudio", audio="../odd name.wav [input]")},
    {"1": node("LoadImage", image=["2", 0]), "2": node("PrimitiveString", value="mine.png")},
    {"1": node("LoadVideo", file=f"story_studio/{ANOTHER_JOB_S}")},
    {"1": node("CLIPTextEncode", text=UP), "2": node("PrimitiveStringMultiline", value=UP)},
    {"1": node("CLIPTextEncode", text=["2", 0]), "2": node("PrimitiveString", value=UP)},
    {
        "1": node("CLIPTextEncode", text=["2", 0]),
        "2": node("StringConcatenate", string_a=UP, string_b=["3", 0], delimiter="/"),
        "3": node("StringReplace", string=UP, find="..", replace="/"),
    },
    {"1": node("SaveImage", filename_prefix=["2", 0]), "2": node("PrimitiveString", value="mine/x")},
    {"1": node("PreviewAny", source=UP)},
    {"1": node("SaveVideo", filename_prefix="video/ComfyUI", format="mp4", codec="h264")},
    {"1": node("UNETLoader", unet_name="wan/x.safetensors", weight_dtype="default")},
    {"1": node("LoadAudio", audio="a.wav", audioUI="/api/view?filename=a.wav&type=input&subfolder=")},
    {
        "1": node("StoryStudio_TitleCard", text=UP, heading="../"),
        "2": node("StoryStudio_Still", name="../../x"),
    },
    {
        "1": node("RecordAudio", audio="mine.png"),
        "2": node("Load3D", image={"image": "a.png", "recording": ""}),
    },
]


@pytest.mark.parametrize("nodes", HARMLESS)
def test_harmless_workflows_pass(judge: Judge, nodes: Nodes) -> None:
    sent = ("mine.png", "../odd name.wav", f"story_studio/{ANOTHER_JOB_S}")
    assert judge(nodes, sent) == []


@pytest.mark.parametrize("profile", profile_names())
def test_recipes_and_whole_stories_pass(judge: Judge, studio: Studio, profile: str) -> None:
    scenes = [{"id": f"scene_{n}", "prompt": UP, "text": UP, "audio": "v.wav"} for n in (1, 2)]
    story = Story.model_validate({"project_id": "tale", "profile": profile, "scenes": scenes})
    files = {scene["id"]: Files(f"story_studio/{ANOTHER_JOB_S}", None) for scene in scenes}
    built = graph.build([Plan(story, load_profile(profile), files)])
    assert judge(built.nodes, sent=(f"story_studio/{ANOTHER_JOB_S}",)) == []
    classes = studio.comfy.object_info()
    for recipe in {*FOLDER.glob("*.json")} - {FOLDER / "profiles.json"}:
        nodes = json.loads(recipe.read_text("utf-8"))
        # ComfyUI has nodes that interpolate frames since 0.33.
        if all(content["class_type"] in classes for content in nodes.values()):
            assert judge(nodes) == []


def test_a_file_in_place_of_a_sent_one_is_not_the_sent_one(judge: Judge) -> None:
    """Names are replaced by those on the server only where they stand by themselves."""
    for value in ({"__value__": OUTSIDE}, [OUTSIDE], f"{OUTSIDE}[input]"):
        assert judge({"1": node("LoadImage", image=value)}, sent=(OUTSIDE,))
    assert judge({"1": node("LoadImage", image=OUTSIDE)}, sent=(OUTSIDE,)) == []
