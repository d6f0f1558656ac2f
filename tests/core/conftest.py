"""Models for the contract tests."""

from __future__ import annotations

from tests.comfy_models import audio_encoder, find_file, inference, model, vae

__all__ = ["audio_encoder", "find_file", "inference", "model", "vae"]
