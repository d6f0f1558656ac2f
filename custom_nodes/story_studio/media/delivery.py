"""How a film is delivered: its size, frame rate, what surrounds clips of another shape, and its codec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Fit = Literal["letterbox", "blur"]
Codec = Literal["h264", "h265", "av1"]


@dataclass(frozen=True)
class Delivery:
    """What a film is made for.

    Attributes:
        width, height: size in pixels, even; 0 for that of the clips.
        fps: frames a second; 0 for those of the clips.
        fit: what surrounds clips of another shape: black, or themselves, enlarged and blurred.
        codec: of the video.
    """

    width: int = 0
    height: int = 0
    fps: int = 0
    fit: Fit = "letterbox"
    codec: Codec = "h264"

    def parts(self) -> list[str | int]:
        """What the key of a film holds of it; empty if it changes nothing."""
        if self == AS_CLIPS:
            return []
        return [self.width, self.height, self.fps, self.fit, self.codec]


AS_CLIPS = Delivery()
"""The size and rate of the clips, letterboxed, as H.264."""
