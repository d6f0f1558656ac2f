"""Pose control: a video that drives the body, encoded to latents for each chunk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from . import motion, timeline


class PoseControl:
    """The control latents of a clip's chunks, encoded as in the official pipeline.

    Where the pose video has ended, the frames are black. In a video of detected poses that means that nobody
    was detected; it is not the same as a clip without pose video, whose control latents are zeros. The
    official pipeline starts the video with the lead-in, so its poses lead by 3 frames, as its audio does;
    here they start with the clip.

    Args:
        vae: ComfyUI's VAE, for Wan 2.1.
        video: the pose video, float [N, H, W, 3] at 16 frames a second; it starts with the clip.
        lead_in: frames before the clip's first one; they show its pose.
        size: width and height of the clip in pixels.
    """

    def __init__(self, vae: Any, video: torch.Tensor, lead_in: int, size: tuple[int, int]) -> None:
        self._vae, self._video, self._lead_in, self._size = vae, video, lead_in, size
        self._black: torch.Tensor | None = None
        """The latents of all chunks after the video's end."""

    def latents(self, start: int) -> torch.Tensor:
        """The control latents of one chunk.

        The chunk's first frame is encoded twice, and the latent of the duplicate is dropped.

        Args:
            start: first frame of the chunk, counted from the beginning of the lead-in.

        Returns:
            float [1, 16, 20, height / 8, width / 8].
        """
        first = start - self._lead_in
        if first < len(self._video):
            return self._encode(self._frames(first))
        if self._black is None:
            self._black = self._encode(self._frames(first))
        return self._black

    def _frames(self, first: int) -> torch.Tensor:
        width, height = self._size
        indices = torch.arange(first, first + timeline.CHUNK_FRAMES).clamp(min=0)
        shown = motion.fit_images(self._video[indices[indices < len(self._video)]], width, height)
        black = shown.new_zeros([timeline.CHUNK_FRAMES - len(shown), height, width, 3])
        return torch.cat([shown, black])

    def _encode(self, frames: torch.Tensor) -> torch.Tensor:
        return self._vae.encode(torch.cat([frames[:1], frames]))[:, :, 1:]


def describe(video: torch.Tensor, frames: int, size: tuple[int, int]) -> Iterator[str]:
    """Warnings about a pose video for a clip of this many frames and this size."""
    length, lasts = len(video), f"The pose video lasts {len(video) / timeline.FPS:.2f} s"
    clip = f"the clip {frames / timeline.FPS:.2f} s"
    if length < frames:
        yield (
            f"{lasts}, {clip}: after it the poses are black, and do not control the body. Link a longer one; "
            "to hold a pose, repeat its frame."
        )
    if length > frames:
        yield (
            f"{lasts} at {timeline.FPS} frames a second, {clip}: the rest is not used. A video with another "
            f"frame rate must be converted to {timeline.FPS} first."
        )
    crop = timeline.cropped(video.shape[2], video.shape[1], *size)
    if crop > timeline.NOTICED_CROP:
        yield (
            f"The pose video is {video.shape[2]}x{video.shape[1]}, the clip {size[0]}x{size[1]}: "
            f"{float(crop):.0%} of it is cropped, so poses and image may not match."
        )
