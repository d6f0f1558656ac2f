"""What the JSON Schema of the endpoint says about scenes besides their models."""

from __future__ import annotations

from typing import Any

from story_studio.story.json_schema import complete_scenes

Json = dict[str, Any]
_SOURCE = "an http(s) address, a data URI, or a key of the endpoint's own store"
_PATHS = ("a path beside the story, or an http(s) URL", "a path or a URL")
"""How a story file's descriptions speak of what it names."""
_RECIPES = {
    ("ImageSettings", "workflow"): "A still recipe that the endpoint ships, by its file name.",
    (
        "ImageSettings",
        "reference_workflow",
    ): "The recipe of images that show a character by a reference image, "
    "one that the endpoint ships: qwen_image_edit_still.json.",
    ("VideoSettings", "workflow"): "A clip recipe that the endpoint ships, by its file name.",
    ("VideoSettings", "narrated_workflow"): "The recipe of narrated and silent scenes, one that the endpoint "
    "ships: wan22_i2v_clip.json. Left out: a slow camera move over the image.",
    ("VoiceSettings", "workflow"): "A voice recipe that the endpoint ships, by its file name.",
}
SCENES: list[Json] = [
    {
        "id": "talking",
        "prompt": "{mara} at the window of a lighthouse",
        "audio_url": "https://example.com/storm.mp3",
    },
    {
        "id": "narrated",
        "kind": "narrated",
        "prompt": "the sea at night",
        "audio_url": "https://example.com/sea.mp3",
    },
    {"id": "silent", "prompt": "an empty pier at dawn", "seconds": 2},
    {"id": "own", "clip_url": "https://example.com/boat.mp4", "from": 0.5, "to": 1.5, "mute": True},
    {"id": "spoken", "prompt": "{mara} on the stairs", "character": "mara", "text": "Somebody is out there."},
    {
        "id": "dialogue",
        "prompt": "the lamp room at night",
        "establishing": 1,
        "lines": [
            {"character": "mara", "text": "Who is there?"},
            {"character": "tom", "audio_url": "https://example.com/tom.mp3"},
        ],
    },
]
"""One scene of each kind."""


def complete(parts: Json) -> None:
    """Describes the parts of a story as an endpoint takes them, and adds what their validators accept."""
    for (part, field), about in _RECIPES.items():
        parts[part]["properties"][field]["description"] = about
    for part in ("Scene", "Line", "Character"):
        for field in parts[part]["properties"].values():
            for path in _PATHS:
                field["description"] = field.get("description", "").replace(path, _SOURCE)
    complete_scenes(parts)
    parts["Scene"]["examples"] = SCENES
