"""ComfyUI's sampling of a MODEL, with previews."""

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
    """CONDITIONING with further values for the network."""
    return node_helpers.conditioning_set_values(conditioning, values)


def to_latents(values: torch.Tensor) -> torch.Tensor:
    """Latents as Wan's VAE makes them, of those that the network sees, [B, 16, T, h, w]."""
    return comfy.latent_formats.Wan21().process_out(values)


def make_sampler(function: Callable[..., torch.Tensor]) -> Any:
    """ComfyUI's SAMPLER of a k-diffusion sampling function."""
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
    """Samples from noise.

    Args:
        model, positive, negative: ComfyUI's MODEL and CONDITIONING.
        latents: zeros of the shape that is wanted.
        sampler, sigmas: how, and at which noise levels, float [steps + 1].
        cfg: guidance; at 1 the negative prompt is left out.
        seed: of the noise.
        on_step: called after each step with the steps done and the denoised latents.
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
    """A function that makes a preview of denoised latents; None if the server shows none."""
    previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)
    if previewer is None:
        return None
    return lambda denoised: previewer.decode_latent_to_preview_image("JPEG", denoised)
