"""Loading the four models of a talking video from files, into CPU memory."""

from __future__ import annotations

from typing import Any

import comfy.sd
import comfy.utils
import nodes
import torch


def load_diffusion_model(path: str) -> Any:
    """Loads a MODEL."""
    return comfy.sd.load_diffusion_model(path)


def apply_lora(model: Any, path: str, strength: float) -> Any:
    """A clone of a MODEL with a LoRA."""
    weights = comfy.utils.load_torch_file(path, safe_load=True)
    return comfy.sd.load_lora_for_models(model, None, weights, strength, 0)[0]


def apply_shift(model: Any, shift: float) -> Any:
    """A clone of a MODEL with a shifted noise schedule."""
    # Imported here, as below, so that the other nodes work in a ComfyUI without it.
    from comfy_extras.nodes_model_advanced import ModelSamplingSD3

    return ModelSamplingSD3().patch(model, shift)[0]


def load_text_encoder(path: str, embeddings: list[str]) -> Any:
    """Loads umt5 as CLIP; `embeddings` are folders."""
    return comfy.sd.load_clip(
        [path],
        embedding_directory=embeddings,
        clip_type=comfy.sd.CLIPType.WAN,
        # Not onto the GPU yet, where it would take memory from a sampler that is running.
        model_options={"initial_device": torch.device("cpu")},
    )


def clip_options() -> tuple[list[str], list[str]]:
    """The files and types that ComfyUI's Load CLIP offers."""
    required = nodes.CLIPLoader.INPUT_TYPES()["required"]
    return required["clip_name"][0], required["type"][0]


def load_clip(name: str, kind: str, device: str) -> Any:
    """Loads a CLIP as ComfyUI's Load CLIP does."""
    return nodes.CLIPLoader().load_clip(name, kind, device)[0]


def load_vae(path: str) -> Any:
    """Loads a VAE. Raises RuntimeError for a file without one."""
    vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(path))
    vae.throw_exception_if_invalid()
    return vae


def load_audio_encoder(path: str) -> Any:
    """Loads an AUDIO_ENCODER.

    Under memory pressure, newer ComfyUI versions (dynamic VRAM) keep a loader's cached outputs only if all of
    them are marked as dynamic, because their weights occupy no memory that could be freed. An AUDIO_ENCODER
    has no such mark, and without one all four models of our loader would be loaded again.
    """
    from comfy.audio_encoders.audio_encoders import load_audio_encoder_from_sd

    encoder = load_audio_encoder_from_sd(comfy.utils.load_torch_file(path, safe_load=True))
    if not hasattr(encoder, "is_dynamic") and hasattr(encoder.patcher, "is_dynamic"):
        encoder.is_dynamic = encoder.patcher.is_dynamic  # pyright: ignore[reportAttributeAccessIssue]
    return encoder
