"""The models that the tests of the talking-video algorithm share."""

from __future__ import annotations

from tests.comfy_models import (
    audio_encoder,
    clip,
    find_file,
    inference,
    lora,
    model,
    picture,
    prompts,
    talk,
    vae,
    watch,
)

__all__ = [
    "audio_encoder",
    "clip",
    "find_file",
    "inference",
    "lora",
    "model",
    "picture",
    "prompts",
    "talk",
    "vae",
    "watch",
]
