"""What the JSON Schema of the endpoint says besides the models: other names, and which fields go together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from story_studio.story.schema import Line, Scene

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
_OF_LINES = ("audio", "text", "translations", "character", "seconds", "clip", "still_take", "clip_take")
"""What a line has and its scene has not."""
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
    """Adds to the schemas of a story's parts what their validators accept and refuse."""
    _describe(parts)
    _add_names(parts["Line"], Line.other_names)
    parts["Line"]["allOf"] = [*_one_name(Line.other_names), _any(_names("text", "audio", of=Line))]
    parts["Lora"] = {"anyOf": [{"type": "string", "description": "Its file; strength 1."}, parts["Lora"]]}
    _complete_scene(parts["Scene"])


def _describe(parts: Json) -> None:
    for name, part in parts.items():
        for field, about in part.get("properties", {}).items():
            if (name, field) in _RECIPES:
                about["description"] = _RECIPES[name, field]
            for path in _PATHS if name in ("Scene", "Line", "Character") else ():
                if "description" in about:
                    about["description"] = about["description"].replace(path, _SOURCE)


def _complete_scene(scene: Json) -> None:
    fields = scene["properties"]
    fields["id"] = {"anyOf": [fields["id"], {"type": "integer", "minimum": 0}]}
    names = {theirs: ours for theirs, ours in Scene.other_names.items() if ours != "id"}
    _add_names(scene, names)
    fields["scene"] = {
        "type": ["integer", "string"],
        "description": "`id` is `scene_` and this, if not given.",
    }
    scene["required"] = []
    scene["allOf"] = [
        {"oneOf": [{"required": ["id"]}, {"required": ["scene"]}]},
        *_one_name(names),
        _any(_names("prompt", "image", "clip", of=Scene)),
        _any(_names("audio", "text", "lines", "seconds", "clip", of=Scene)),
        *_without("seconds", "audio", "clip"),
        *_without("lines", *_OF_LINES),
        *_kinds(),
        _if({"anyOf": [*_required("from", "to"), _is("mute", True)]}, _any(_names("clip", of=Scene))),
        _if(
            {"required": ["establishing"], "not": {"properties": {"establishing": {"type": "null"}}}},
            _has("lines"),
        ),
    ]
    scene["examples"] = SCENES


def _kinds() -> list[Json]:
    own = _names("clip", of=Scene)
    voiced = {"allOf": [_any(_names("audio", "text", "lines", of=Scene)), _none("seconds", *own)]}
    return [
        _if({"anyOf": [_is("kind", "talking"), _is("kind", "narrated")]}, voiced),
        _if(_is("kind", "silent"), {"allOf": [_has("seconds"), _none("lines", *own)]}),
        _if(_is("kind", "clip"), {"allOf": [_any(own), _none("lines")]}),
    ]


def _add_names(part: Json, names: dict[str, str]) -> None:
    for theirs, ours in names.items():
        field = part["properties"][ours]
        part["properties"][theirs] = {**field, "description": f"Another name for `{ours}`."}


def _names(*fields: str, of: type[Scene] | type[Line]) -> list[str]:
    """These fields and their other names."""
    return [*fields, *(theirs for theirs, ours in of.other_names.items() if ours in fields)]


def _one_name(names: dict[str, str]) -> list[Json]:
    return [{"not": {"required": [ours, theirs]}} for theirs, ours in names.items()]


def _without(field: str, *others: str) -> list[Json]:
    return [{"not": {"required": [field, other]}} for other in _names(*others, of=Scene)]


def _required(*fields: str) -> list[Json]:
    return [_has(field) for field in fields]


def _has(field: str) -> Json:
    return {"required": [field]}


def _is(field: str, value: Any) -> Json:
    return {"required": [field], "properties": {field: {"const": value}}}


def _any(fields: Iterable[str]) -> Json:
    return {"anyOf": _required(*fields)}


def _none(*fields: str) -> Json:
    return {"not": {"anyOf": _required(*fields)}}


def _if(condition: Json, then: Json) -> Json:
    return {"if": condition, "then": then}
