"""The JSON Schema of the story file, for editors that complete and check it, and for programs that write it.

What it cannot say and `schema.parse` checks: that ids differ, that `character` is a key of `characters`, that
a clip ends after it begins, that a text is more than spaces. It refuses a number in quotes and a profile that
does not exist, which `parse` leaves to others.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from .film_settings import MODEL, UPSCALES
from .formats import AS_RENDERED, FORMATS, INTERPOLATIONS, RATES
from .recipes import profile_names
from .schema import Line, Scene, Story

Schema = dict[str, Any]

_KINDS = """\
The scenes in the order of the film. What a scene has says which kind it is:
- talking: `text` or `audio`. The person in the image says it, so show one person, face to the camera.
- narrated: `kind: narrated` with `text` or `audio`. The voice plays over a moving image; no lips move.
- silent: `seconds`.
- own clip: `clip`, trimmed by `from` and `to`.
- dialogue: `lines`, each with a `character` and its `text` or `audio`; a shot for each line.
A scene with `text` and without `audio` is spoken by a voice that is made here."""
_EXAMPLE: Schema = {
    "title": "The Lamp Room",
    "profile": "draft",
    "format": "16:9",
    "style": "cinematic photograph, soft film grain",
    "characters": {
        "mara": {"description": "a lighthouse keeper of seventy, silver braid, navy wool sweater"},
        "tom": {"description": "a fisherman of forty in a yellow oilskin coat, dark beard"},
    },
    "scenes": [
        {
            "id": "storm",
            "kind": "narrated",
            "prompt": "a lighthouse in a storm",
            "text": "It was a bad night.",
        },
        {
            "id": "door",
            "prompt": "the lamp room of a lighthouse at night, warm lamplight",
            "lines": [
                {"character": "mara", "text": "Who is there?"},
                {"character": "tom", "text": "Only me."},
            ],
        },
        {
            "id": "keeper",
            "prompt": "Chest-up portrait of {mara}, facing the camera, at a window",
            "character": "mara",
            "text": "We had tea until the morning.",
        },
        {"id": "sea", "prompt": "a flat, shining sea at sunrise", "seconds": 4},
        {"id": "boat", "clip": "boat.mp4", "from": 1.5, "to": 6, "mute": True},
    ],
}


class _Untitled(GenerateJsonSchema):
    """Without titles of fields, which only repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def story_schema() -> Schema:
    """The JSON Schema of a story file."""
    found = Story.model_json_schema(schema_generator=_Untitled)
    parts = found.pop("$defs")
    story = found.pop("properties")
    story["scenes"]["description"] = _KINDS
    story["project_id"]["description"] += " The story file's name if left out."
    story["profile"]["enum"] = profile_names()
    story["film"]["anyOf"].append({"type": "boolean"})
    story["task"] = {"const": "batch", "description": "Of requests to the endpoint; leave it out."}
    _complete(parts["FilmSettings"]["properties"], parts["BurnedCaptions"]["properties"])
    parts["VideoSettings"]["properties"]["resolution"] |= {
        "anyOf": [{"enum": ["480p", "720p"]}, {"pattern": r"^\s*\d{1,5}x\d{1,5}\s*$"}]
    }
    _describe_seeds(parts, story)
    complete_scenes(parts)
    for fields in (story, *(part.get("properties", {}) for part in parts.values())):
        for field in fields.values():
            # Without this, keys that are no ids or languages are not looked at.
            field |= {"additionalProperties": False} if "patternProperties" in field else {}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Story",
        "description": "A story of Story Studio: scenes in order, and how to render them to a film.",
        "type": "object",
        "properties": story,
        "required": ["scenes"],
        "additionalProperties": False,
        "examples": [_EXAMPLE],
        "$defs": parts,
    }


def schema_text() -> str:
    """The JSON Schema as a file."""
    return json.dumps(story_schema(), indent=2, ensure_ascii=False) + "\n"


def complete_scenes(parts: Schema) -> None:
    """Adds what validators of scenes, lines and LoRAs accept besides their fields, and what they refuse."""
    for owner in ("ImageSettings", "Character"):
        loras = parts[owner]["properties"]["loras"]
        loras["items"] = {"anyOf": [{"type": "string", "minLength": 1, "maxLength": 255}, loras["items"]]}
    _accept_other_names(parts["Scene"])
    _accept_names(parts["Line"], Line.other_names)
    parts["Line"]["anyOf"] = _any("text", "audio", "audio_url")
    parts["Scene"]["allOf"] += _kinds()


def _accept_other_names(scene: Schema) -> None:
    """The names of the endpoint's first clients."""
    fields = scene["properties"]
    _accept_names(scene, {name: ours for name, ours in Scene.other_names.items() if ours != "id"})
    fields["id"] = {
        "anyOf": [fields["id"], {"type": "integer"}],
        "description": "Names the scene's files and seeds its images: letters, digits, `_`, `.`, `-`.",
    }
    fields["scene"] = {"type": ["integer", "string"], "description": "Another `id`: `scene_` and this."}
    scene["required"] = []
    scene["allOf"].append({"oneOf": _any("id", "scene")})


def _accept_names(part: Schema, names: dict[str, str]) -> None:
    fields = part["properties"]
    part.setdefault("allOf", [])
    for name, ours in names.items():
        fields[name] = {**fields[ours], "description": f"Another name for `{ours}`."}
        part["allOf"].append({"not": {"required": [ours, name]}})


def _any(*names: str) -> list[Schema]:
    return [{"required": [name]} for name in names]


def _kinds() -> list[Schema]:
    """What each kind of scene needs and cannot have."""

    def of(title: str, needs: list[Schema], never: tuple[str, ...], kinds: list[Any]) -> Schema:
        lacks: Schema = {"not": {"anyOf": _any(*never)}}
        return {
            "title": title,
            "anyOf": needs,
            "allOf": [lacks],
            "properties": {"kind": {"enum": [*kinds, None]}},
        }

    voice = _any("text", "audio", "audio_url")
    clip = ("clip", "clip_url")
    trims = ("from", "to", "mute", "start", "end")
    lines = ("lines", "establishing")
    shown = {"anyOf": _any("prompt", "image", "image_url", *clip)}
    kinds = [
        of("Talking or narrated", voice, ("seconds", *clip, *trims, *lines), ["talking", "narrated"]),
        of("Silent", _any("seconds"), ("audio", "audio_url", *clip, *trims, *lines), ["silent"]),
        of("Own clip", _any(*clip), ("seconds", *lines), ["clip"]),
        of(
            "Dialogue",
            _any("lines"),
            ("audio", "audio_url", "text", "translations", "character", "speaker", "seconds", *clip, *trims)
            + ("still_take", "clip_take"),
            ["talking", "narrated"],
        ),
    ]
    return [shown, {"anyOf": kinds}]


def _complete(film: Schema, burned: Schema) -> None:
    """Adds what the film's validators accept besides its fields, and what editors can offer."""
    film["format"]["anyOf"] = [{"enum": [AS_RENDERED, *FORMATS]}, {"type": "string"}]
    film["fps"] |= {"anyOf": [{"enum": list(RATES)}, {"type": "null"}]}
    own = {"type": "string", "pattern": r"\.[jJ][sS][oO][nN]\s*$"}
    film["interpolation"]["anyOf"] = [{"enum": [*INTERPOLATIONS, MODEL]}, own]
    film["upscale"]["anyOf"] = [{"enum": [*UPSCALES, MODEL]}, own]
    film["loudness"]["anyOf"] = [{"type": "number", "minimum": -30, "maximum": -10}, {"type": "boolean"}]
    film["opening"]["anyOf"].append({"type": "boolean"})
    film["music"]["anyOf"] += [{"type": "string", "minLength": 1}, {"const": False}]
    film["burned_captions"]["anyOf"] += [{"enum": burned["style"]["enum"]}, {"type": "boolean"}]
    burned["position"]["description"] = "Where in the frame they stand."


def _describe_seeds(parts: Schema, story: Schema) -> None:
    """Fields that share a type have their own descriptions."""
    story["seed"]["description"] = "Another seed gives other images and clips in every scene."
    story["voice_settings"]["description"] = "How texts without a recording are spoken."
    for name in ("Scene", "Line"):
        parts[name]["properties"]["seed"]["description"] = "Another seed gives another image and clip."
