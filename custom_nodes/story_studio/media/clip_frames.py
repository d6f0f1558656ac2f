"""The frames of one clip, upright and with square pixels, and their conversion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.filter import Graph

from .conform import at_rate
from .decoder import exact_frames
from .encoder import TO_BT709
from .footage import Footage

_EXACT = "accurate_rnd+full_chroma_inp+full_chroma_int+bitexact"


def frame_count(footage: Footage, fps: Fraction) -> int:
    """The frames that a clip has at a frame rate, 1 at least."""
    return max(1, round(footage.info.video_seconds * fps))


def yuv_frames(path: Path, footage: Footage) -> Iterator[av.VideoFrame]:
    """All frames at the clip's own rate, yuv420p BT.709, exactly `frame_count` of them.

    What is too long is cut, and the last frame is held. Raises ValueError if no frame can be decoded.
    """
    count = frame_count(footage, footage.fps)
    return exact_frames(path, lambda stream: upright_graph(stream, footage, footage.fps), count)


def upright_graph(
    stream: av.VideoStream, footage: Footage, fps: Fraction | None, start: Fraction = Fraction(0)
) -> Graph:
    """A filter graph from the frames of a clip to upright yuv420p BT.709 frames at its own size.

    Args:
        stream: the clip's video.
        footage: what is in it.
        fps: frames a second; None for all frames as they come.
        start: of the first frame that comes out, in seconds of the video.
    """
    graph = Graph()
    steady = (("fps", at_rate(stream, fps, start)),) if fps else ()
    turns = (name.partition("=")[::2] for name in footage.turns)
    steps = (
        *steady,
        *((name, options or None) for name, options in turns),
        (
            "scale",
            f"{footage.width}:{footage.height}:{TO_BT709}:flags=bicubic+{_EXACT}",
        ),
        ("format", "yuv420p"),
        ("setsar", "1"),
        ("buffersink", None),
    )
    source = graph.add_buffer(template=stream)
    graph.link_nodes(source, *(graph.add(name, options) for name, options in steps)).configure()
    return graph


class Scaler:
    """Scales frames with Lanczos and converts them: to yuv420p BT.709, or to rgb24.

    Args:
        pixel_format: `yuv420p` or `rgb24`.
        size: width and height in pixels; None keeps that of the first frame.
    """

    def __init__(self, pixel_format: str, size: tuple[int, int] | None = None):
        self._format, self._size = pixel_format, size
        self._graph: Graph | None = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame, scaled; itself if nothing is to be done. All frames are of one size and format."""
        width, height = self._size or (frame.width, frame.height)
        if (frame.format.name, frame.width, frame.height) == (self._format, width, height):
            return frame
        if self._graph is None:
            self._graph = self._filter(frame, width, height)
        frame.pts, frame.time_base = 0, Fraction(1, 16)
        self._graph.vpush(frame)
        scaled = self._graph.vpull()
        assert isinstance(scaled, av.VideoFrame)
        return scaled

    def _filter(self, frame: av.VideoFrame, width: int, height: int) -> Graph:
        graph = Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 16)
        )
        sides = "" if frame.format.name == "rgb24" else "in_color_matrix=bt709:in_range=tv:"
        if self._format != "rgb24":
            sides += f"{TO_BT709}:"
        scale = graph.add("scale", f"{width}:{height}:{sides}flags=lanczos+{_EXACT}")
        steps = (scale, graph.add("format", self._format), graph.add("buffersink"))
        graph.link_nodes(source, *steps).configure()
        return graph


def rgb_pixels(frames: Iterable[av.VideoFrame]) -> Iterator[np.ndarray]:
    """Frames as RGB, uint8 [height, width, 3]."""
    scaler = Scaler("rgb24")
    for frame in frames:
        yield scaler(frame).to_ndarray()
