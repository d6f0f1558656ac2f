"""The GPUs of RunPod's serverless workers that a story can be planned for: memory, price, and speed."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from ..comfy.models import known_models

LIST_DATE = "18 August 2026"
"""Of the list prices: those of RunPod's documentation ("GPU pricing" of serverless workers)."""
_WORKING_GB = 6.0
"""Video memory besides a model's weights, for a chunk of 832x480: an estimate. In 16 bits, 35,074 tokens of
5,120 and 13,824 channels take 0.4 and 1 GB for each copy; decoding in parts takes 1.8 GB."""


class Gpu(NamedTuple):
    """A GPU of RunPod's.

    Attributes:
        pool: RunPod's name of the workers that have it, as in the endpoint's `gpuIds`.
        vram_gb: its memory in GB.
        price: USD an hour that estimates count; an A100's is the seed's.
        list_price: USD an hour of a flexible worker, on LIST_DATE.
        start, load_stills, load_clips, still, clip: seconds, as in `estimate.Figures`.
        source: where those of `still` and `clip` are from; the others are the seed's unless measured.
        about: how derived ones were derived.
    """

    pool: str
    vram_gb: float
    price: float
    list_price: float
    start: float
    load_stills: float
    load_clips: float
    still: float
    clip: float
    source: Literal["seed", "derived", "measured"]
    about: str


@cache
def gpus() -> dict[str, Gpu]:
    """The GPUs of gpus.json by name; the first is the default."""
    entries = json.loads(Path(__file__).with_name("gpus.json").read_text(encoding="utf-8"))
    return {name: Gpu(**entry) for name, entry in entries.items()}


def vram_need(profile: str) -> float:
    """The GB of video memory that hold a profile's largest model while it computes; 0 without one."""
    largest = [
        model.gb or 0.0
        for model in known_models()
        if profile in model.needed_by and model.folder == "diffusion_models"
    ]
    return max(largest) + _WORKING_GB if largest else 0.0
