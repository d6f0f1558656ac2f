"""A scene's clip in a graph: talking, narrated, silent or its author's own."""

from __future__ import annotations

import math
from typing import Any, Literal

from .api_graph import Graph, Owner, SceneId
from .classes import LOAD_AUDIO, LOAD_VIDEO
from .plan import Plan
from .recipes import Link, Recipe
from .scene import Scene

OWN_CLIP = "StoryStudio_OwnClip"
VIDEO_FRAME = "StoryStudio_VideoFrame"
JOIN_VIDEOS = "StoryStudio_JoinVideos"
SILENCE = "EmptyAudio"
TRIM = "TrimAudioDuration"
_SAMPLE_RATE = 48_000
_FPS = 16
"""Frames a second of a recipe that has no `$fps`."""
MAX_SEGMENTS = 40
"""ComfyUI follows the links of a graph by recursion, at most a thousand nodes deep."""
_STEP = 8
"""Video models make a multiple of 4 or 8 frames, and one more."""


Stage = Literal["talking", "moving", "own"]
"""When a clip is made: those of one recipe follow each other, so that its models are loaded once."""


def stage_of(plan: Plan, scene: Scene) -> Stage:
    """When a scene's clip is made."""
    recipe = recipe_of(plan, scene)
    if recipe is None:
        return "own"
    return "talking" if recipe.nodes == plan.profile.clip.nodes else "moving"


def recipe_of(plan: Plan, scene: Scene) -> Recipe | None:
    """The recipe of a scene's clip; None if the clip is its author's."""
    kind = scene.kind_of
    return None if kind == "clip" else plan.profile.clip if kind == "talking" else plan.profile.narrated


def clip_values(plan: Plan, scene: Scene) -> dict[str, Any]:
    """The recipe parameters of a scene's clip, except for its image, its order (`after`) and its length."""
    width, height = plan.story.frame_size
    settings, profile = plan.story.video_settings, plan.profile
    overrides = {
        "steps": settings.sample_steps,
        "cfg": settings.cfg,
        "negative_prompt": settings.negative_prompt,
    }
    return {
        **(profile.clip_settings if scene.kind_of == "talking" else profile.narrated_settings),
        **{name: value for name, value in overrides.items() if value is not None},
        "prompt": plan.story.motion_of(scene),
        "audio": plan.files[scene.id].audio,
        "width": width,
        "height": height,
        "seed": plan.story.seed_of(scene),
    }


def add_video(
    graph: Graph, scene_id: SceneId, plan: Plan, scene: Scene, after: Link | None, seed: int | None = None
) -> Link:
    """Adds the video of a scene's clip, whose still is in the graph if it has one of its own.

    Args:
        seed: another than that of the scene, for a retake.
    """
    owner = Owner("clip", scene_id)
    recipe = recipe_of(plan, scene)
    if recipe is None:
        return add_own_clip(graph, owner, plan, scene)
    values = clip_values(plan, scene) | {"image": Link(graph.stills[scene_id]), "after": after}
    values |= {} if seed is None else {"seed": seed}
    return _add_recipe(graph, owner, recipe, values, scene, plan.files[scene.id].seconds)


def add_own_clip(graph: Graph, owner: Owner, plan: Plan, scene: Scene) -> Link:
    """Adds its author's clip, trimmed, with its own sound or the scene's voice."""
    files = plan.files[scene.id]
    return graph.add(
        owner,
        "own clip",
        OWN_CLIP,
        video=graph.add(owner, "video", LOAD_VIDEO, file=files.clip),
        start=scene.start or 0.0,
        end=scene.end or 0.0,
        mute=scene.mute,
        audio=graph.add(owner, "audio", LOAD_AUDIO, audio=files.audio) if files.audio else None,
    )


def segments(recipe: Recipe, seconds: float) -> list[int]:
    """How many frames a recipe makes at a time, to be as long as the audio together.

    Every segment after the first begins with the last frame of the one before. The value of `$length` in a
    recipe is the most that it makes at a time; a recipe without it makes any length.

    Args:
        recipe: of a clip.
        seconds: length of the audio; 0 if it is not known, which takes a whole segment.
    """
    most, fps = int(default_of(recipe, "length")), _fps(recipe)
    if not most:
        return []
    frames = math.ceil(seconds * fps)
    if not frames:
        return [most]
    count = max(1, math.ceil((frames - 1) / max(1, most - 1)))
    each = math.ceil((frames - 1) / count)
    return [min(most, _STEP * math.ceil(each / _STEP) + 1)] * count


def default_of(recipe: Recipe, name: str) -> float:
    """The number that a recipe has for a parameter; 0 if there is none."""
    node = recipe.nodes.get(recipe.parameters.get(name, ""))
    value = next(iter(node["inputs"].values()), 0) if node else 0
    return value if isinstance(value, int | float) else 0


def _add_recipe(
    graph: Graph, owner: Owner, recipe: Recipe, values: dict[str, Any], scene: Scene, seconds: float
) -> Link:
    audio: Link | str | None = values["audio"]
    if scene.kind_of == "silent":
        audio = graph.add(
            owner, "silence", SILENCE, duration=scene.seconds, sample_rate=_SAMPLE_RATE, channels=1
        )
        seconds = scene.seconds or 0.0
    lengths = segments(recipe, seconds)
    video = graph.add_recipe(owner, recipe, values | {"audio": audio} | _length(lengths, 0))
    for number in range(1, len(lengths)):
        last = graph.add(owner, "last frame", VIDEO_FRAME, video=video, position="last")
        part = _part(graph, owner, audio, number * (lengths[0] - 1) / _fps(recipe), recipe)
        changed = {"image": last, "audio": part, "seed": values["seed"] + number}
        following = graph.add_recipe(owner, recipe, values | changed | _length(lengths, number))
        video = graph.add(owner, "join", JOIN_VIDEOS, video=video, next=following)
    if audio is None or ("audio" in recipe.parameters and not lengths):
        return video
    if not isinstance(audio, Link):
        audio = graph.add(owner, "audio", LOAD_AUDIO, audio=audio)
    return graph.add(owner, "voice-over", OWN_CLIP, video=video, start=0.0, end=0.0, mute=False, audio=audio)


def _part(
    graph: Graph, owner: Owner, audio: Link | str | None, start: float, recipe: Recipe
) -> Link | str | None:
    """The audio from a second on, for a recipe that moves lips to it."""
    if audio is None or "audio" not in recipe.parameters:
        return audio
    if not isinstance(audio, Link):
        audio = graph.add(owner, "audio", LOAD_AUDIO, audio=audio)
    rest = 24 * 3600.0
    return graph.add(owner, "rest of the voice", TRIM, audio=audio, start_index=start, duration=rest)


def _fps(recipe: Recipe) -> float:
    return default_of(recipe, "fps") or _FPS


def _length(lengths: list[int], number: int) -> dict[str, int]:
    return {"length": lengths[number]} if lengths else {}
