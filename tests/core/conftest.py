"""The models that the contract tests try ComfyUI with."""

from __future__ import annotations

from tests.comfy_models import audio_encoder, find_file, inference, model, vae

__all__ = ["audio_encoder", "find_file", "inference", "model", "vae"]
