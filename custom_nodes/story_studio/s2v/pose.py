"""Pose control: a video that drives the body, encoded to latents for each chunk."""

from __future__ import annotations

from typing import Any

import torch

from . import motion, timeline


def encode_pose(
    vae: Any, pose: torch.Tensor, start: int, lead_in: int, size: tuple[int, int]
) -> torch.Tensor | None:
    """The control latents of one chunk, encoded as in the official pipeline.

    The first frame is encoded twice, and the latent of the duplicate is dropped. The last pose is repeated to
    the end of the chunk.

    Args:
        vae: ComfyUI's VAE, for Wan 2.1.
        pose: the pose video, float [N, H, W, 3] at 16 frames a second; it starts with the clip.
        start: first frame of the chunk, counted from the beginning of the lead-in.
        lead_in: frames before the clip's first one; they show its pose.
        size: width and height of the clip in pixels.

    Returns:
        float [1, 16, 20, height / 8, width / 8], or None if the pose video ends before the chunk.
    """
    if start - lead_in >= len(pose):
        return None
    indices = torch.arange(start, start + timeline.CHUNK_FRAMES) - lead_in
    indices = torch.cat([indices[:1], indices])
    frames = motion.fit_images(pose[indices.clamp(0, len(pose) - 1)], *size)
    return vae.encode(frames)[:, :, 1:]
