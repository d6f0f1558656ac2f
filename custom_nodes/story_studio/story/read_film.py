"""The film settings of a story, read from an API workflow: those that differ from the defaults."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from .classes import LOAD_AUDIO
from .film_settings import MODEL, BurnedCaptions, FilmSettings, Music
from .formats import AS_RENDERED
from .keys import PRIMITIVES, Node
from .model_files import named_files
from .recipes import Profile, load_recipe
from .results import Kind
from .scenes import Workflow, source_of
from .windows import CLIP_FRAMES

Inputs = dict[str, Any]
_OWN = ("join", "crossfade_seconds", "chapters", "captions", "pause_after")
"""Inputs of the Film itself."""
_BY_MODEL = {"interpolation": "FrameInterpolate", "upscale": "ImageUpscaleWithModel"}
"""The nodes of the shipped frames recipes that do the work."""
_HELPERS = frozenset(("FrameInterpolationModelLoader", "UpscaleModelLoader", *PRIMITIVES))
"""The other nodes of those recipes."""


def film_settings(
    workflow: Workflow, film: Inputs | None, title: str, profile: Profile
) -> dict[str, Any] | bool:
    """The settings of the Film with these inputs; False without a film.

    Args:
        workflow: the workflow.
        film: the inputs of its Film.
        title: of the story, or its id if it has none.
        profile: of the story.
    """
    if film is None:
        return False
    found = {name: workflow.constant(film.get(name)) for name in _OWN}
    found |= _delivery(workflow, film) | _cards(workflow, film, title) | _sound(workflow, film)
    found["burned_captions"] = _burned_captions(workflow, film)
    if not profile.film_settings:
        found |= _masters(workflow, makes_rate=found["fps"] is not None)
    # Whether a film may lack a scene is not in the graph.
    default = FilmSettings().model_dump(exclude={"partial"})
    return {name: value for name, value in found.items() if value is not None and value != default.get(name)}


def scene_settings(workflow: Workflow, film_scene: Inputs) -> dict[str, Any]:
    """The settings of a scene that its Film Scene has."""
    transition, pause, music = (
        workflow.constant(film_scene.get(name)) for name in ("transition", "pause_after", "music")
    )
    found: dict[str, Any] = {}
    if transition in ("cut", "crossfade", "dip"):
        found["transition"] = transition
    if isinstance(pause, int | float) and not isinstance(pause, bool) and pause >= 0:
        found["pause_after"] = pause
    if workflow.constant(film_scene.get("chapter")) is False:
        found["continues"] = True
    if music is False:
        found["music"] = False
    if translations := _translations(workflow.text(film_scene.get("translations"))):
        found["translations"] = translations
    return found


def _translations(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {language.strip(): said.strip() for language, colon, said in pairs if colon}


def _inputs(workflow: Workflow, film: Inputs, name: str, cls: str) -> Inputs | None:
    node = workflow.nearest(film.get(name), f"StoryStudio_{cls}")
    return workflow.nodes[node]["inputs"] if node is not None else None


def _delivery(workflow: Workflow, film: Inputs) -> dict[str, Any]:
    inputs = _inputs(workflow, film, "delivery", "FilmDelivery") or {}
    found = {
        name: workflow.constant(inputs.get(name))
        for name in ("format", "width", "height", "fps", "fit", "codec")
    }
    sides = {name: found[name] or None for name in ("width", "height")}
    rate = found["fps"]
    fps = int(rate) if isinstance(rate, str) and rate != AS_RENDERED and rate.isdecimal() else None
    return found | sides | {"fps": fps}


def has_own_frames(workflow: Workflow) -> bool:
    """Whether the frames of a master are changed by nodes or models that no shipped recipe has."""
    known = {*_BY_MODEL.values(), *_HELPERS}
    between = (
        node
        for master in workflow.of_class(Kind.MASTER.node)
        for node in _between(workflow, workflow.nodes[master]["inputs"])
    )
    return any(
        node["class_type"] not in known or not _shipped_models() >= {name for _, name in named_files(node)}
        for node in between
    )


@cache
def _shipped_models() -> frozenset[str]:
    """The models of the shipped frames recipes."""
    recipes = (load_recipe(Path(f"{way}_model_frames.json"), "frames") for way in _BY_MODEL)
    nodes = (node for recipe in recipes for node in recipe.nodes.values())
    return frozenset(name for node in nodes for _, name in named_files(node))


def _masters(workflow: Workflow, makes_rate: bool) -> dict[str, Any]:
    """How the clips of a film are changed, from the first Master."""
    master = next(iter(workflow.of_class(Kind.MASTER.node)), None)
    if master is None:
        return {"interpolation": "repeat"} if makes_rate else {}
    inputs = workflow.nodes[master]["inputs"]
    classes = {node["class_type"] for node in _between(workflow, inputs)}
    by_model = {way: MODEL for way, cls in _BY_MODEL.items() if cls in classes}
    return {
        "interpolation": workflow.constant(inputs.get("interpolation")) if makes_rate else None,
        "match_color": workflow.constant(inputs.get("match_color")),
        **by_model,
    }


def _between(workflow: Workflow, master: Inputs) -> list[Node]:
    """The nodes that make a master's frames, from its Clip Frames on."""
    last = source_of(master.get("frames"))
    if last is None:
        return []

    def is_inside(node: Node) -> bool:
        return node["class_type"] != CLIP_FRAMES

    return [node for _, node in workflow.upstream(last, through=is_inside) if is_inside(node)]


def _cards(workflow: Workflow, film: Inputs, title: str) -> dict[str, Any]:
    inputs = _inputs(workflow, film, "cards", "FilmCards") or {}
    opening = workflow.text(inputs.get("opening"))
    return {
        "opening": (True if opening == title else opening) if opening else None,
        "credits": workflow.text(inputs.get("credits")) or None,
        **{name: workflow.constant(inputs.get(name)) for name in ("card_seconds", "fade_seconds")},
    }


def _sound(workflow: Workflow, film: Inputs) -> dict[str, Any]:
    inputs = _inputs(workflow, film, "sound", "FilmSound")
    if inputs is None:
        return {"loudness": False}
    loader = workflow.nearest(inputs.get("music"), LOAD_AUDIO)
    file = workflow.constant(workflow.nodes[loader]["inputs"].get("audio")) if loader is not None else None
    names = {"level": "music_level", "fade_seconds": "music_fade", "duck": "duck"}
    music = {name: workflow.constant(inputs.get(theirs)) for name, theirs in names.items()}
    return {
        "loudness": workflow.constant(inputs.get("normalize")) is not False
        and workflow.constant(inputs.get("loudness")),
        "room_tone": workflow.constant(inputs.get("room_tone")),
        "music": _short({"file": file, **music}, "file", Music(file="-")) if file else None,
    }


def _burned_captions(workflow: Workflow, film: Inputs) -> Any:
    inputs = _inputs(workflow, film, "burned_captions", "BurnedCaptions")
    if inputs is None:
        return None
    found = {name: workflow.constant(inputs.get(name)) or None for name in BurnedCaptions.model_fields}
    return _short(found, "style", BurnedCaptions()) or "clean"


def _short(found: dict[str, Any], main: str, default: Music | BurnedCaptions) -> Any:
    """The settings that differ from the default, or the main one alone if no other does."""
    others = {
        name: value
        for name, value in found.items()
        if name != main and value is not None and value != getattr(default, name)
    }
    return {main: found[main], **others} if others else found[main]
