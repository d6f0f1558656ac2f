"""What the scenes of a story are worth, in the stills and chunks of an estimate's figures.

How it is derived stands in `estimate`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from story_studio.story.check_graph import retakes_of
from story_studio.story.clip_graph import default_of, recipe_of, segments
from story_studio.story.model_files import has_models
from story_studio.story.plan import Plan
from story_studio.story.recipes import Profile, Recipe, load_profile
from story_studio.story.schema import Scene, Story
from story_studio.story.still_graph import sheet_values, sheets_of, shown_by_reference

from ..rendering.manifest import scene_settings
from ..rendering.prepare import RenderPlan

_PIXELS = 832 * 480
_STILL_RUNS, _CLIP_RUNS = 20, 40
"""Runs of the model for the seed's still and chunk."""
_CODING = 1.1
"""What decoding and encoding a chunk's frames costs, in runs of the model: 5 s where 40 runs take 180."""
_ATTENTION = 0.53
"""Share of a run at 480p that grows with the square of the pixels."""
DRAFT_CLIP = 1.2
"""Seconds of two cores for a chunk of a draft."""
_OWN_CLIP = 0.35
"""Seconds of a processor for a second of an own clip of 832x480 at 25 frames a second. The plan does not know
its pixels: one of 1920x1080 takes about five times as long."""
_S2V_RUN = 1.1
"""Times of a run of S2V, where one of Wan2.2 A14B, of which it is made, takes 1."""
_CHUNK = 80
"""Frames of a chunk."""


class Work(NamedTuple):
    """What a scene takes.

    Attributes:
        stills: of the figures' stills; the sheet of a character counts in the first scene that shows it.
        talking: of the figures' chunks, by the talking recipe.
        moving: of the figures' chunks, by the recipe of narrated and silent scenes if that has models.
        quick: seconds for a clip that is made without models.
    """

    stills: float
    talking: float = 0.0
    moving: float = 0.0
    quick: float = 0.0


def work_of(
    story: Story,
    seconds: Mapping[str, float],
    profile: Profile | None,
    retakes: Callable[[int], float] = lambda _: 0.0,
) -> dict[str, Work]:
    """What each scene takes, by its id; `retakes` says how often a clip is made again, as in `estimate`."""
    plan = RenderPlan.of(story, profile or load_profile(story.profile), {})
    drawn: set[str] = set()
    work = {}
    for scene in story.scenes:
        settings = scene_settings(plan, scene)
        stills = 0.0
        # Shots of one speaker have the same still, which is made once.
        if settings.still and (known := json.dumps(settings.still, sort_keys=True)) not in drawn:
            drawn.add(known)
            stills += still_work(settings.still)
        for key in set(shown_by_reference(plan, scene)) & set(sheets_of(plan)) - drawn:
            drawn.add(key)
            stills += still_work(sheet_values(plan, key))
        clip = _clip_of(plan, scene, settings.clip or {}, seconds[scene.id])
        times = 1 + retakes(retakes_of(plan, scene))
        work[scene.id] = Work(stills, times * clip.talking, times * clip.moving, clip.quick)
    return work


def _clip_of(plan: Plan, scene: Scene, settings: Mapping[str, Any], seconds: float) -> Work:
    """What a scene's clip takes."""
    recipe, frames = recipe_of(plan, scene), math.ceil(16 * seconds)
    if recipe is None:
        return Work(0.0, quick=_OWN_CLIP * seconds)
    if scene.kind_of == "talking":
        return Work(0.0, talking=clip_work(settings, frames))
    if not has_models(recipe):
        chunk = clip_work({name: settings[name] for name in ("width", "height") if name in settings}, frames)
        return Work(0.0, quick=DRAFT_CLIP * chunk)
    return Work(0.0, moving=_moving_work(recipe, settings, seconds))


def _moving_work(recipe: Recipe, settings: Mapping[str, Any], seconds: float) -> float:
    """The chunks that a clip of an image-to-video recipe is worth."""
    lengths = segments(recipe, seconds) or [math.ceil(16 * seconds)]
    known = {name: default_of(recipe, name) for name in ("steps", "cfg", "width", "height")}
    settings = {name: value for name, value in known.items() if value} | dict(settings)
    area = settings.get("width", 832) * settings.get("height", 480) / _PIXELS
    runs = _runs(settings, _CLIP_RUNS) / _S2V_RUN * (1 - _ATTENTION + _ATTENTION * area)
    return sum(lengths) / _CHUNK * area * (runs + _CODING) / (_CLIP_RUNS + _CODING)


def still_work(settings: Mapping[str, Any]) -> float:
    area = settings.get("width", 832) * settings.get("height", 480) / _PIXELS
    return area * _runs(settings, _STILL_RUNS) / _STILL_RUNS


def clip_work(settings: Mapping[str, Any], frames: int) -> float:
    """A clip of so many frames in chunks of 80, each made whole, the first of which loses three."""
    chunks = -(-(frames + 3) // 80)
    area = settings.get("width", 832) * settings.get("height", 480) / _PIXELS
    runs = _runs(settings, _CLIP_RUNS) * (1 - _ATTENTION + _ATTENTION * area)
    return chunks * area * (runs + _CODING) / (_CLIP_RUNS + _CODING)


def _runs(settings: Mapping[str, Any], unknown: int) -> int:
    """Runs of the model; `unknown` if the settings do not tell its steps."""
    steps = settings.get("steps")
    return unknown if steps is None else steps * (2 if settings.get("cfg", 1) > 1 else 1)
