"""Joining clips without re-encoding, where all were encoded with the same parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av

from .probe import to_seconds


def can_splice(paths: Sequence[Path]) -> bool:
    """Whether the video of all files can be joined to one H.264 stream."""
    first, *others = (_signature(path) for path in dict.fromkeys(paths))
    return first is not None and all(other == first for other in others)


def _signature(path: Path) -> tuple | None:
    """The parameters that two streams must share; None if this one cannot be spliced."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        codec = stream.codec_context
        packet = next(container.demux(stream))
        seconds = to_seconds(stream.duration, stream.time_base)
        whole = stream.frames > 0 and seconds * (stream.average_rate or 0) == stream.frames
        supported = codec.name == "h264" and codec.pix_fmt == "yuv420p" and not stream.start_time
        if not (whole and supported and packet.is_keyframe and packet.pts == 0):
            return None
        return stream.average_rate, stream.time_base, codec.width, codec.height, bytes(codec.extradata or b"")


def packets(path: Path, start: Fraction) -> Iterator[av.Packet]:
    """The encoded frames of a file in stored order, delayed by `start` seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        shift = round(start / (stream.time_base or 1))
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                yield packet
