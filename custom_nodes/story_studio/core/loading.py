"""The four models of a talking video, read from files onto the CPU."""

from __future__ import annotations

from typing import Any

import comfy.sd
import comfy.utils
import torch


def load_diffusion_model(path: str) -> Any:
    """A MODEL."""
    return comfy.sd.load_diffusion_model(path)


def apply_lora(model: Any, path: str, strength: float) -> Any:
    """A clone of a MODEL with a LoRA."""
    weights = comfy.utils.load_torch_file(path, safe_load=True)
    return comfy.sd.load_lora_for_models(model, None, weights, strength, 0)[0]


def apply_shift(model: Any, shift: float) -> Any:
    """A clone of a MODEL whose noise schedule is shifted."""
    # Imported when used, as below: in a ComfyUI without it the other nodes work.
    from comfy_extras.nodes_model_advanced import ModelSamplingSD3

    return ModelSamplingSD3().patch(model, shift)[0]


def load_text_encoder(path: str, embeddings: list[str]) -> Any:
    """umt5 as CLIP; `embeddings` are folders."""
    return comfy.sd.load_clip(
        [path],
        embedding_directory=embeddings,
        clip_type=comfy.sd.CLIPType.WAN,
        # Onto the GPU only when it is used: loading it there now would disturb what is being sampled.
        model_options={"initial_device": torch.device("cpu")},
    )


def load_vae(path: str) -> Any:
    """A VAE. Raises RuntimeError for a file that holds none."""
    vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(path))
    vae.throw_exception_if_invalid()
    return vae


def load_audio_encoder(path: str) -> Any:
    """An AUDIO_ENCODER.

    Newer cores (dynamic VRAM) keep a loader's result under memory pressure if all that it holds says that it
    is dynamic, for its weights take no memory that could be freed. An AUDIO_ENCODER does not say so, and all
    four models of our loader would be read again with it.
    """
    from comfy.audio_encoders.audio_encoders import load_audio_encoder_from_sd

    encoder = load_audio_encoder_from_sd(comfy.utils.load_torch_file(path, safe_load=True))
    if not hasattr(encoder, "is_dynamic") and hasattr(encoder.patcher, "is_dynamic"):
        encoder.is_dynamic = encoder.patcher.is_dynamic  # pyright: ignore[reportAttributeAccessIssue]
    return encoder
