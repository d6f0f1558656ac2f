"""Fixtures for the tests of the talking-video algorithm."""

from __future__ import annotations

from tests.comfy_models import (
    audio_encoder,
    clip,
    find_file,
    image,
    inference,
    lora,
    model,
    prompts,
    record_sampling,
    sample_clip,
    vae,
)

__all__ = [
    "audio_encoder",
    "clip",
    "find_file",
    "image",
    "inference",
    "lora",
    "model",
    "prompts",
    "record_sampling",
    "sample_clip",
    "vae",
]
