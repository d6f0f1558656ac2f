"""Pose video: what steers the body, as latents beside those of the chunk."""

from __future__ import annotations

from typing import Any

import torch

from . import motion, timeline


def control(
    vae: Any, pose: torch.Tensor, start: int, lead: int, size: tuple[int, int]
) -> torch.Tensor | None:
    """The control of one chunk, as the official pipeline encodes it: with the first picture twice.

    Args:
        vae: ComfyUI's VAE, for Wan 2.1.
        pose: the pose video, float [N, H, W, 3] at 16 pictures a second, from the clip's first picture on.
        start: first picture of the chunk, in the led-in sound.
        lead: pictures before the clip's first one; they show its pose.
        size: width and height of the clip.

    Returns:
        float [1, 16, 20, height / 8, width / 8], without the latent of the doubled picture; the last pose is
        held to the end of the chunk. None if the pose video has ended before.
    """
    if start - lead >= len(pose):
        return None
    wanted = torch.arange(start, start + timeline.PICTURES) - lead
    wanted = torch.cat([wanted[:1], wanted])
    pictures = motion.fit_pictures(pose[wanted.clamp(0, len(pose) - 1)], *size)
    return vae.encode(pictures)[:, :, 1:]
