"""Pictures into latents and back: the reference, the motion that a chunk continues, and its pictures."""

from __future__ import annotations

from typing import Any

import torch

from . import timeline


def fit_picture(picture: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """The first picture of an IMAGE [B, H, W, C], resized to cover the size and cropped to its centre.

    Returns:
        float [1, height, width, 3], 0 to 1.
    """
    source = picture[:1, :, :, :3].movedim(-1, 1).float()
    if source.shape[1] == 1:
        source = source.expand(-1, 3, -1, -1)
    scale = max(width / source.shape[3], height / source.shape[2])
    cover = (max(height, round(source.shape[2] * scale)), max(width, round(source.shape[3] * scale)))
    resized = torch.nn.functional.interpolate(source, size=cover, mode="bicubic", antialias=True)
    top, left = (cover[0] - height) // 2, (cover[1] - width) // 2
    return resized[:, :, top : top + height, left : left + width].clamp(0, 1).movedim(1, -1)


def decode_chunk(
    vae: Any, before: torch.Tensor, latents: torch.Tensor, chunk: timeline.Chunk
) -> torch.Tensor:
    """The pictures that a chunk adds to the clip, as the official pipeline decodes them.

    Args:
        vae: ComfyUI's VAE.
        before: latents that the decoder sees first: the reference in the first chunk, the motion after it.
        latents: the chunk's own, float [1, 16, 20, height / 8, width / 8].
        chunk: what to keep.

    Returns:
        float [keep, height, width, 3], 0 to 1, on the VAE's output device.
    """
    pictures = vae.decode(torch.cat([before, latents[:, :, : chunk.latents]], dim=2))[0]
    return pictures[-4 * chunk.latents :][chunk.drop : chunk.drop + chunk.keep]


def encode_motion(vae: Any, pictures: torch.Tensor) -> torch.Tensor:
    """The motion that the next chunk continues.

    Args:
        vae: ComfyUI's VAE.
        pictures: float [73 or more, height, width, 3]; the last 73 count.

    Returns:
        float [1, 16, 19, height / 8, width / 8].
    """
    return vae.encode(pictures[-timeline.MOTION_PICTURES :])
