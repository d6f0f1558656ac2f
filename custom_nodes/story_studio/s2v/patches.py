"""The video model as the official Wan2.2 S2V computes it, where ComfyUI's computes something else.

All changes belong to a clone of the MODEL: ComfyUI applies them when it loads the clone, and takes them back
when it loads another. With them the model's output agrees with the official code's to 5e-6, given equal
weights, at the sizes and lengths of this pack: sides in multiples of 64, and 20 latents a chunk. (In other
sizes ComfyUI takes wrong tokens for motion, and with more latents it puts the reference at another position.)
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
"""The tokens of the newest motion latent, of the two before it, and of the sixteen before those: positions in
time, and how many of a latent's rows and columns one token stands for.

Sixteen latents are four tokens long, spread from the oldest, -19, to the newest, -4."""


def faithful(model: Any) -> Any:
    """A clone of ComfyUI's Wan2.2 S2V model that computes as the official one does.

    What other nodes have changed in the model (LoRA, shift, EasyCache, torch.compile) stays as it is. The
    clone shares the weights, so that going from one to the other loads nothing.
    """
    patched = model.clone()
    wan_model.change_part(patched, wan_model.AUDIO_ENCODER, "forward", _hear_all_pictures)
    wan_model.change_part(patched, wan_model.FRAME_PACKER, "forward", _place_motion)
    wan_model.change_sampling(patched, "timestep", _whole_timesteps)
    return patched


def _hear_all_pictures(encode: Callable[..., Any]) -> Callable[..., Any]:
    """Latent j hears features up to 4j + 3, its last picture's, instead of 4j, its first picture's.

    As in the official code, 73 copies of the first feature are led in, one for each motion picture, and the
    19 latents that come of them are dropped. The encoder is causal and makes one latent of four features, at
    0, 4, 8, ...: latent 19 + j is at 4 * (19 + j) = 73 + 4j + 3.
    """

    def encode_led_in(encoder: Any, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        # [B, layers, dimensions, pictures] -> global [B, latents, 1, C] and local [B, latents, tokens, C].
        lead = features[..., :1].expand(*features.shape[:-1], timeline.MOTION_PICTURES)
        heard = encode(encoder, torch.cat([lead, features], dim=-1))
        return tuple(part[:, timeline.MOTION_LATENTS :] for part in heard)

    return encode_led_in


def _place_motion(pack: Callable[..., Any]) -> Callable[..., Any]:
    """The tokens of the motion latents, at the official positions."""

    def pack_and_place(
        packer: Any, latents: torch.Tensor, network: Any, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        tokens, _ = pack(packer, latents, network, *args, **kwargs)
        positions = _motion_positions(latents.shape[3], latents.shape[4]).to(latents.device)
        return tokens, network.rope_embedder(positions).movedim(1, 2)

    return pack_and_place


def _whole_timesteps(timestep: Callable[..., Any]) -> Callable[..., Any]:
    """The official scheduler's timesteps are integers: 1000 * sigma, truncated."""
    return lambda sampling, sigma: timestep(sampling, sigma).floor()


def _motion_positions(height: int, width: int) -> torch.Tensor:
    """Where the motion tokens of latents [B, 16, T, height, width] are: time, row and column.

    Returns:
        float32 [1, tokens, 3]; rows and columns count in the picture's own tokens, of 2 x 2 latent pixels.
    """
    groups = []
    for times, side in _MOTION_TOKENS:
        axes = (times, _spread(height // side, height // 2), _spread(width // side, width // 2))
        groups.append(torch.cartesian_prod(*(torch.tensor(axis, dtype=torch.float32) for axis in axes)))
    return torch.cat(groups).unsqueeze(0)


def _spread(count: int, total: int) -> list[int]:
    """`count` whole positions from 0 to total - 1: numpy's linspace, truncated, as in the official code.

    The products are rounded as numpy's are, for where one should be whole and is a little less, the official
    position is one less too. NumPy itself would be traced as other arithmetic by torch.compile.
    """
    if count == 1:
        return [0]
    step = (total - 1) / (count - 1)
    return [int(index * step) for index in range(count - 1)] + [total - 1]
