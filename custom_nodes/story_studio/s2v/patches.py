"""Patches that make ComfyUI's Wan2.2 S2V network compute what the official code computes.

They belong to a clone of the MODEL: ComfyUI applies them when it loads the clone and reverts them when it
loads another. With equal weights, the patched output then agrees with the official code to 5e-6 at the sizes
and lengths of this pack: sides in multiples of 64, and 20 latents a chunk. (At other sizes ComfyUI mistakes
other tokens for motion, and with more latents it places the reference at another position.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..core import wan_model
from . import timeline

_MOTION_TOKENS = (
    ((-1,), 2),
    ((-3,), 4),
    ((-19, -14, -9, -4), 8),
)
"""For the tokens of the newest motion latent, of the two before it, and of the sixteen before those: their
positions in time, and how many rows and columns of a latent one token covers.

The sixteen latents are packed into four tokens in time, placed from the oldest, -19, to the newest, -4."""


def patch_to_official(model: Any) -> Any:
    """A clone of ComfyUI's Wan2.2 S2V MODEL that computes what the official code computes.

    Changes by other nodes (LoRA, shift, EasyCache, torch.compile) are kept. The clone shares the weights, so
    switching between the two loads nothing.
    """
    patched = model.clone()
    wan_model.patch_method(patched, wan_model.AUDIO_ENCODER, "forward", _align_audio)
    wan_model.patch_method(patched, wan_model.FRAME_PACKER, "forward", _place_motion)
    wan_model.patch_sampling(patched, "timestep", _truncate_timesteps)
    return patched


def _align_audio(encode: Callable[..., Any]) -> Callable[..., Any]:
    """Makes latent j depend on features up to 4j + 3, its last frame, instead of 4j, its first frame.

    As in the official code, 73 copies of the first feature are prepended, one for each motion frame, and the
    19 latents that result from them are dropped. The encoder is causal and computes one latent for every
    fourth feature, 0, 4, 8, ...: latent 19 + j is at 4 * (19 + j) = 73 + 4j + 3.
    """

    def encode_aligned(encoder: Any, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        # [B, layers, dimensions, frames] -> global [B, latents, 1, C] and local [B, latents, tokens, C].
        motion = features[..., :1].expand(*features.shape[:-1], timeline.MOTION_FRAMES)
        encoded = encode(encoder, torch.cat([motion, features], dim=-1))
        return tuple(part[:, timeline.MOTION_LATENTS :] for part in encoded)

    return encode_aligned


def _place_motion(pack: Callable[..., Any]) -> Callable[..., Any]:
    """Places the motion tokens at the official positions."""

    def pack_and_place(
        packer: Any, latents: torch.Tensor, network: Any, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        tokens, _ = pack(packer, latents, network, *args, **kwargs)
        positions = _motion_positions(latents.shape[3], latents.shape[4]).to(latents.device)
        return tokens, network.rope_embedder(positions).movedim(1, 2)

    return pack_and_place


def _truncate_timesteps(timestep: Callable[..., Any]) -> Callable[..., Any]:
    """Truncates 1000 * sigma to an integer, as the official scheduler does."""
    return lambda sampling, sigma: timestep(sampling, sigma).floor()


def _motion_positions(height: int, width: int) -> torch.Tensor:
    """Positions of the motion tokens for latents [B, 16, T, height, width].

    Returns:
        float32 [1, tokens, 3]: time, row and column, the latter two in patches of 2 x 2 latent pixels.
    """
    groups = []
    for times, side in _MOTION_TOKENS:
        axes = (times, _spread(height // side, height // 2), _spread(width // side, width // 2))
        groups.append(torch.cartesian_prod(*(torch.tensor(axis, dtype=torch.float32) for axis in axes)))
    return torch.cat(groups).unsqueeze(0)


def _spread(count: int, total: int) -> list[int]:
    """`count` integer positions from 0 to total - 1: numpy.linspace, truncated, as in the official code.

    The products round exactly as numpy's do: where one falls just short of an integer, the official position
    is one lower too. torch.compile would replace numpy itself by arithmetic that rounds differently.
    """
    if count == 1:
        return [0]
    step = (total - 1) / (count - 1)
    return [int(index * step) for index in range(count - 1)] + [total - 1]
