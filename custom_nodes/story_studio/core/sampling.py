"""Sampling a MODEL with ComfyUI, and previews."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.latent_formats
import comfy.sample
import comfy.samplers
import latent_preview
import node_helpers
import torch


def condition(conditioning: list, values: dict[str, Any]) -> list:
    """CONDITIONING with additional inputs for the network."""
    return node_helpers.conditioning_set_values(conditioning, values)


def to_latents(values: torch.Tensor) -> torch.Tensor:
    """Converts latents [B, 16, T, h, w] from the network's scale to the VAE's."""
    return comfy.latent_formats.Wan21().process_out(values)


def make_sampler(function: Callable[..., torch.Tensor]) -> Any:
    """ComfyUI's SAMPLER for a k-diffusion sampling function."""
    return comfy.samplers.KSAMPLER(function)


def sample(
    model: Any,
    positive: list,
    negative: list,
    latents: torch.Tensor,
    sampler: Any,
    sigmas: torch.Tensor,
    cfg: float,
    seed: int,
    on_step: Callable[[int, torch.Tensor], None],
) -> torch.Tensor:
    """Samples latents from noise.

    Args:
        model, positive, negative: ComfyUI's MODEL and CONDITIONING.
        latents: zeros, in the shape of the result.
        sampler: ComfyUI's SAMPLER.
        sigmas: noise levels, float [steps + 1].
        cfg: guidance scale; at 1 the negative prompt is not used.
        seed: of the noise.
        on_step: called after each step with the number of steps done and the denoised latents.
    """
    return comfy.sample.sample_custom(
        model,
        comfy.sample.prepare_noise(latents, seed),
        cfg,
        sampler,
        sigmas,
        positive,
        negative,
        latents,
        callback=lambda step, denoised, _noisy, _steps: on_step(step + 1, denoised),
        disable_pbar=True,
        seed=seed,
    )


def make_previewer(model: Any) -> Callable[[torch.Tensor], Any] | None:
    """A function that renders a preview of denoised latents; None if previews are disabled."""
    previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)
    if previewer is None:
        return None
    return lambda denoised: previewer.decode_latent_to_preview_image("JPEG", denoised)
