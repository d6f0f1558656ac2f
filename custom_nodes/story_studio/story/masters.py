"""Masters in the graph of a story: clips that are changed themselves for the film.

Frames are interpolated first, at the size of the clip, and then enlarged. What no recipe does, Clip Frames or
Master does on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .api_graph import Graph, Owner
from .formats import AS_RENDERED, Interpolation
from .recipes import FRAMES, Link, Recipe
from .results import Kind
from .windows import CLIP_FRAMES, FPS, MULTIPLIER

CLIP_FPS = Fraction(16)
"""Frames a second of the clips of Wan2.2 S2V and of drafts."""


@dataclass(frozen=True)
class Mastering:
    """What a story asks for its masters.

    Attributes:
        width, height: what the frames fit into, in pixels; 0 for their own size.
        fps: frames a second, 24, 25 or 30; None for those of the clips.
        interpolation: how frames are made for another rate: motion, blend or repeat, or a recipe.
        upscale: the recipe that enlarges frames; None for Lanczos.
        match_color: whether the drift of colours is undone.
    """

    width: int = 0
    height: int = 0
    fps: int | None = None
    interpolation: Interpolation | Recipe = "repeat"
    upscale: Recipe | None = None
    match_color: bool = False

    def is_needed(self, clip_fps: Fraction = CLIP_FPS) -> bool:
        """Whether the clips have to be changed; scaling and repeating frames is left to the film."""
        makes_frames = self.fps not in (None, clip_fps) and self.interpolation != "repeat"
        return self.match_color or self.upscale is not None or makes_frames


def add_master(graph: Graph, owner: Owner, clip: Link, wanted: Mastering, name: str) -> Link:
    """Adds the master of a clip, with the nodes of its recipes, and returns its video."""
    fps = str(wanted.fps) if wanted.fps else AS_RENDERED
    recipe = wanted.interpolation if isinstance(wanted.interpolation, Recipe) and wanted.fps else None
    on_cpu = "motion" if isinstance(wanted.interpolation, Recipe) else wanted.interpolation
    frames: Link | None = None
    if recipe or wanted.upscale:
        frames = graph.add(
            owner,
            "clip frames",
            CLIP_FRAMES,
            clip=clip,
            fps=fps,
            interpolation="recipe" if recipe or not wanted.fps else on_cpu,
        )
        values: dict[str, Any] = {"fps": Link(frames.node, FPS), "multiplier": Link(frames.node, MULTIPLIER)}
        if recipe:
            frames = graph.add_recipe(owner, recipe, values | {FRAMES: frames})
        if wanted.upscale:
            frames = graph.add_recipe(owner, wanted.upscale, values | {FRAMES: frames})
    return graph.add(
        owner,
        "master",
        Kind.MASTER.node,
        clip=clip,
        frames=frames,
        width=wanted.width,
        height=wanted.height,
        fps=fps,
        interpolation=on_cpu,
        match_color=wanted.match_color,
        name=name,
    )
