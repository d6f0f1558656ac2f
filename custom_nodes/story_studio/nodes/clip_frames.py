"""Clip Frames: the frames of a clip, for nodes that change images."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from comfy_api.latest import InputImpl, io

from .. import master_run
from ..media.drift import Drift
from ..media.footage import Footage, read_footage
from ..story.formats import AS_RENDERED, INTERPOLATIONS, RATES, Interpolation
from ..story.windows import CLIP_FRAMES
from .common import CATEGORY, HIDDEN, advanced, video_path, warn

_PREVIEW_BYTES = 2**30


class ClipFrames(io.ComfyNode):
    """On its own it gives the first frames; between it and a Master, all, window by window."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id=CLIP_FRAMES,
            display_name="Clip Frames",
            category=CATEGORY,
            description="The frames of a clip, for nodes that interpolate or upscale them. Link what becomes "
            "of them to a Master, which runs these nodes for a few frames at a time, whatever its length.",
            inputs=[
                io.Video.Input("clip", tooltip="The clip whose frames are changed."),
                io.Combo.Input(
                    "fps",
                    options=[AS_RENDERED, *map(str, RATES)],
                    default=AS_RENDERED,
                    tooltip="Frames a second that the clip is to have.",
                ),
                io.Combo.Input(
                    "interpolation",
                    options=["recipe", *INTERPOLATIONS],
                    default="recipe",
                    tooltip="recipe: the frames keep the clip's rate, because the nodes after this one "
                    "interpolate. motion, blend, repeat: they are interpolated here, without a model.",
                ),
                advanced(
                    io.Int.Input(
                        "context",
                        default=1,
                        min=0,
                        max=64,
                        optional=True,
                        tooltip="Frames before and after that each window repeats. 1 is enough for nodes "
                        "that look at two frames; for those that look at more, as many as they look at.",
                    )
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="frames", tooltip="The frames; without a Master, only the first ones."
                ),
                io.Float.Output(display_name="fps", tooltip="Frames a second of these frames."),
                io.Int.Output(
                    display_name="multiplier",
                    tooltip="By how much a node should multiply the frames for the fps that are set.",
                ),
            ],
            hidden=HIDDEN,
        )

    @classmethod
    def execute(
        cls,
        clip: InputImpl.VideoFromFile,
        fps: str,
        interpolation: Interpolation | Literal["recipe"],
        context: int = 1,
    ) -> io.NodeOutput:
        """Returns as many frames as fit into 1 GiB, their rate and the multiplier."""
        path = video_path(clip)
        source = source_of(path, read_footage(path), fps, interpolation, context)
        width, height = source.footage.size
        most = max(1, _PREVIEW_BYTES // (12 * width * height))
        if source.frames > most:
            text = f"These are the first {most} of {source.frames} frames: a Master runs the nodes for all."
            warn(cls.hidden.unique_id, text)
        frames = np.stack(list(islice(source.decode(), most)))
        return io.NodeOutput(as_floats(frames), float(source.fps), source.multiplier)


def as_floats(frames: np.ndarray) -> torch.Tensor:
    """Frames uint8 [n, height, width, 3] as an IMAGE."""
    return torch.from_numpy(frames).float().div_(255)


def source_of(
    path: Path,
    footage: Footage,
    fps: str,
    interpolation: Interpolation | Literal["recipe"],
    context: int,
    master_fps: Fraction | None = None,
    drift: Drift | None = None,
) -> master_run.Source:
    """What Clip Frames with these inputs gives to nodes that lead to a Master of this rate."""
    target = footage.fps if fps == AS_RENDERED else Fraction(fps)
    if interpolation == "recipe":
        multiplier = master_run.multiplier(
            footage.fps, target if fps != AS_RENDERED else master_fps or target
        )
        return master_run.Source(path, footage, footage.fps, "repeat", context, multiplier, drift)
    multiplier = master_run.multiplier(target, master_fps or target)
    return master_run.Source(path, footage, target, interpolation, context, multiplier, drift)
