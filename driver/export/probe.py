"""What an export needs to know of a video file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av


class Video(NamedTuple):
    """A video: size in pixels, number and rate of frames, seconds, and channels of its audio."""

    width: int
    height: int
    frames: int
    fps: Fraction
    seconds: Fraction
    channels: int


def probe(path: Path) -> Video:
    """Reads a video's properties from its index, as MP4 files have one. Raises ValueError without a video."""
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ValueError(f"{path.name} has no video in it.")
        video = container.streams.video[0]
        seconds = (video.duration or 0) * (video.time_base or Fraction(0))
        fps = Fraction(video.average_rate or 0)
        frames = video.frames or round(seconds * fps)
        channels = container.streams.audio[0].channels if container.streams.audio else 0
        return Video(video.width, video.height, frames, fps, seconds, channels)
