"""A clip as players show it: turned upright, and with square pixels."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from .probe import MediaInfo, probe

_MAX_RATE = 120
"""Some files without a constant frame rate name the rate of their time stamps instead."""
_MAX_PIXEL_ASPECT = 8
_RATES = tuple(
    Fraction(rate)
    for rate in (8, 10, 12, 15, 16, 20, "24000/1001", 24, 25, "30000/1001", 30, 48, 50, "60000/1001", 60)
)
"""Of cameras, screens and models, in frames a second."""
_BELOW = Fraction(998, 1000)
"""An average this close above a usual rate is that rate with some frames late."""


@dataclass(frozen=True)
class Footage:
    """What is in a clip.

    Attributes:
        info: the properties of its file.
        fps: its frame rate.
        width, height: size in pixels as it is shown, even.
        turns: the filters that turn its frames upright.
        is_plain: whether it is shown as it is stored.
        base_fps: the rate at which all its frames are on time; 0 if it is unknown.
    """

    info: MediaInfo
    fps: Fraction
    width: int
    height: int
    turns: tuple[str, ...] = ()
    is_plain: bool = True
    base_fps: Fraction = Fraction(0)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as shown."""
        return self.width, self.height

    @property
    def steady_fps(self) -> Fraction:
        """The rate at which it is shown where frames have to be equally long.

        It is its own. Where frames come at varying times, as from phones, whose files state an average, it is
        the usual rate that leaves none of them out.
        """
        if self.fps == self.base_fps or self.fps.denominator in (1, 1001):
            return self.fps
        if self.base_fps in _RATES and self.base_fps > self.fps:
            return self.base_fps
        return next((rate for rate in _RATES if rate >= self.fps * _BELOW), self.fps.limit_denominator(1001))

    def fit(self, width: int, height: int) -> tuple[int, int]:
        """The size, even, at which it fills one side of a frame and keeps its shape."""
        scale = min(Fraction(width, self.width), Fraction(height, self.height))
        return max(2, round(self.width * scale / 2) * 2), max(2, round(self.height * scale / 2) * 2)


def read_footage(path: Path) -> Footage:
    """Reads what is in a clip, decoding its first frame.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: it has no video, or cannot be read.
    """
    info = probe(path)
    if not info.frames or not info.fps:
        raise ValueError(
            f"{path.name} has no video, so it cannot be a shot of a film: use a clip with video."
        )
    rate = info.fps
    if rate > _MAX_RATE:
        rate = Fraction(max(1, round(info.frames / info.video_seconds)))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        aspect = _pixel_aspect(stream)
        turns = _turns(container, stream)
        base = Fraction(stream.base_rate or 0)
    width, height = round(info.width * aspect), info.height
    if turns and turns[0].startswith("transpose"):
        width, height = height, width
    is_plain = not turns and aspect == 1
    return Footage(info, rate, width + width % 2, height + height % 2, turns, is_plain, base)


def _pixel_aspect(stream: VideoStream) -> Fraction:
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    return aspect if 1 / _MAX_PIXEL_ASPECT <= aspect <= _MAX_PIXEL_ASPECT else Fraction(1)


def _turns(container: InputContainer, stream: VideoStream) -> tuple[str, ...]:
    """The filters that do what the first frame's display matrix says, to the nearest quarter turn."""
    # See decoder.py for why there is one thread.
    stream.codec_context.thread_count = 1
    frame = next(container.decode(stream), None)
    matrix = frame.side_data.get("DISPLAYMATRIX") if frame else None
    if matrix is None:
        return ()
    # A pixel at x, y is shown at a * x + c * y, b * x + d * y.
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix))
    is_transposed = abs(b) + abs(c) > abs(a) + abs(d)
    across, down = (c, b) if is_transposed else (a, d)
    steps = (("transpose=cclock_flip", is_transposed), ("hflip", across < 0), ("vflip", down < 0))
    return tuple(name for name, applies in steps if applies)
