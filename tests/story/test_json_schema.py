"""The JSON Schema of the story file: the committed file, its descriptions, and what it accepts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from driver.paths import ROOT
from story_studio.story import schema
from story_studio.story.json_schema import schema_text
from story_studio.story.problems import Problems
from story_studio.story.script.read import SUFFIXES, story_from_script

FILE = ROOT / "workflows" / "story.schema.json"
SCHEMA = json.loads(FILE.read_text(encoding="utf-8"))
VALIDATOR = Draft7Validator(SCHEMA)
MARA = {"mara": {"description": "a keeper"}}


def test_the_file_is_what_the_command_prints() -> None:
    assert FILE.read_text(encoding="utf-8") == schema_text(), (
        "run: python -m driver schema > workflows/story.schema.json"
    )


def test_it_is_a_schema_with_a_description_for_every_field() -> None:
    Draft7Validator.check_schema(SCHEMA)
    parts = {"Story": SCHEMA, **SCHEMA["$defs"]}
    bare = [
        f"{part}.{name}"
        for part, entry in parts.items()
        for name, field in entry["properties"].items()
        if not field.get("description")
    ]
    assert not bare


def whole_stories() -> Iterator[Any]:
    yield yaml.safe_load((ROOT / "workflows" / "demo" / "story.yaml").read_text(encoding="utf-8"))
    yield SCHEMA["examples"][0]
    for path in sorted((ROOT / "workflows" / "examples").iterdir()):
        if path.suffix in SUFFIXES:
            yield story_from_script(path.name, path.read_text(encoding="utf-8")).data


@pytest.mark.parametrize("story", list(whole_stories()))
def test_stories_that_we_ship_or_make_are_valid(story: Any) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(story)] == []
    schema.parse(story)


SCENES: list[dict[str, Any]] = [
    {"id": "a", "prompt": "x", "audio": "a.wav"},
    {"id": "a", "prompt": "x", "text": "Hello."},
    {"id": "a", "prompt": "x", "audio_url": "a.wav", "kind": "narrated"},
    {"scene": 1, "image_url": "x.png", "audio": "a.wav"},
    {"id": 7, "image": "x.png", "audio": "a.wav", "kind": None},
    {"id": "a", "prompt": "x", "seconds": 4},
    {"id": "a", "prompt": "x", "seconds": 4, "kind": "silent", "text": "on a sign"},
    {"id": "a", "clip": "a.mp4"},
    {"id": "a", "clip_url": "a.mp4", "from": 1, "to": 2.5, "mute": True, "text": "x", "audio": "a.wav"},
    {"id": "a", "prompt": "x", "text": "Hello.", "speaker": "mara"},
    {"id": "a", "prompt": "x", "lines": [{"character": "mara", "text": "Hello."}, {"text": "She said."}]},
    {"id": "a", "prompt": "x", "establishing": 0, "lines": [{"speaker": "mara", "audio_url": "a.wav"}]},
    {"id": "a", "prompt": "x", "audio": "a.wav", "translations": {"de": "Hallo"}, "transition": "dip"},
    {},
    {"id": "a"},
    {"id": "a", "prompt": "x"},
    {"id": "a", "audio": "a.wav"},
    {"prompt": "x", "audio": "a.wav"},
    {"id": "a b", "prompt": "x", "audio": "a.wav"},
    {"id": "a", "scene": 1, "prompt": "x", "audio": "a.wav"},
    {"id": "a", "prompt": "x", "audio": "a.wav", "audio_url": "a.wav"},
    {"id": "a", "prompt": "x", "audio": "a.wav", "seconds": 4},
    {"id": "a", "prompt": "x", "text": "x", "seconds": 4, "kind": "narrated"},
    {"id": "a", "prompt": "x", "kind": "silent"},
    {"id": "a", "prompt": "x", "kind": "clip", "text": "x"},
    {"id": "a", "prompt": "x", "kind": "sung", "text": "x"},
    {"id": "a", "clip": "a.mp4", "seconds": 4},
    {"id": "a", "clip": "a.mp4", "kind": "narrated"},
    {"id": "a", "prompt": "x", "text": "x", "mute": True},
    {"id": "a", "prompt": "x", "text": "x", "from": 1},
    {"id": "a", "prompt": "x", "text": "x", "establishing": 1},
    {"id": "a", "prompt": "x", "lines": [{"character": "mara"}]},
    {"id": "a", "prompt": "x", "text": "x", "lines": [{"text": "Hello."}]},
    {"id": "a", "prompt": "x", "kind": "silent", "lines": [{"text": "Hello."}]},
    {"id": "a", "prompt": "x", "lines": [{"text": "Hello.", "kind": "narrated"}]},
    {"id": "a", "lines": [{"text": "Hello."}]},
    {"id": "a", "prompt": "x", "audio": "a.wav", "translations": {"pt_BR": "x"}},
    {"id": "a", "prompt": "x", "audio": "a.wav", "pause_after": 11},
    {"id": "a", "prompt": "x", "audio": "a.wav", "still_take": "latest"},
    {"id": "a", "prompt": "x", "audio": "a.wav", "promt": "y"},
]
STORIES: list[dict[str, Any]] = [
    *({"scenes": [scene], "characters": MARA} for scene in SCENES),
    *(
        {"scenes": SCENES[:1], **more}
        for more in (
            {"characters": {"mara jane": {"description": "a keeper"}}},
            {"film": False},
            {"film": True},
            {"film": None},
            {"film": {"music": "a.mp3", "opening": True, "burned_captions": "words", "loudness": False}},
            {"film": {"music": {"file": "a.mp3", "level": -12}, "fps": 25, "format": "landscape 1080p"}},
            {"film": {"interpolation": "mine.json", "upscale": "model", "burned_captions": False}},
            {"film": {"interpolation": "sharp"}},
            {"film": {"fps": 26}},
            {"film": {"loudness": -40}},
            {"film": {"joins": "cut"}},
            {"format": "9:16", "video_settings": {"resolution": "720p"}},
            {"format": "3:2"},
            {"video_settings": {"resolution": "640x360"}},
            {"video_settings": {"resolution": "big"}},
            {
                "image_settings": {
                    "loras": ["a.safetensors", {"file": "b.safetensors", "strength": 0.5}],
                    "steps": 9,
                }
            },
            {"image_settings": {"width": 100}},
            {
                "characters": {
                    "mara": {"reference": "mara.png", "voice": "hibari/heart", "loras": ["m.safetensors"]}
                }
            },
            {"characters": {"mara": {"look": "old"}}},
            {"characters": ["mara"]},
            {"voice_settings": {"speed": 3}},
            {"voice_settings": {"voice": "hibari/heart", "speed": 1.1}, "language": "pt-BR", "seed": 3},
            {"language": "English, please"},
            {"profil": "draft"},
        )
    ),
    {"scenes": []},
    {"title": "x"},
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: json.dumps(story)[-60:])
def test_the_schema_and_the_parser_agree(story: dict[str, Any]) -> None:
    try:
        schema.parse(story)
        accepted, why = True, ""
    except Problems as error:
        accepted, why = False, str(error)
    assert VALIDATOR.is_valid(story) == accepted, why
