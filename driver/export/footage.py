"""Video for a timeline: at its frame rate, and with the held frames that the film shows around a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, repeat
from pathlib import Path

import av
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import PictureType

Progress = Callable[[float], None]
_ENCODING = {"crf": "12", "preset": "veryfast"}
"""Finer than the film, because an editor encodes it once more."""
_MUXING = {"movflags": "+faststart", "fflags": "+bitexact"}
_COLOUR = ("color_range", "colorspace", "color_primaries", "color_trc")


@dataclass(frozen=True)
class Held:
    """The frames of a file to be written, at its new frame rate.

    Attributes:
        head: how often the first frame is repeated in front.
        frames: how many follow; where the source ends earlier, its last frame is held.
        tail: how often the last one is repeated at the end.
    """

    head: int
    frames: int
    tail: int

    @property
    def total(self) -> int:
        """How many frames that are."""
        return self.head + self.frames + self.tail


def write_held(source: Path, target: Path, fps: Fraction, held: Held, progress: Progress) -> None:
    """Writes a video without audio, H.264 at high quality, with the frames that a film of this rate shows.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: no frame can be decoded.
    """
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        frames = _held(container, stream, fps, held)
        _encode(frames, target, fps, held.total, stream.codec_context, progress)


def write_still(frame: av.VideoFrame, target: Path, fps: Fraction, count: int, progress: Progress) -> None:
    """Writes a video of one frame of yuv420p that is shown `count` times. Raises OSError."""
    _encode(repeat(frame, count), target, fps, count, frame, progress)


def _encode(
    frames: Iterable[av.VideoFrame],
    target: Path,
    fps: Fraction,
    count: int,
    like: av.VideoCodecContext | av.VideoFrame,
    progress: Progress,
) -> None:
    with av.open(str(target), "w", format="mp4", options=_MUXING) as file:
        output = file.add_stream("libx264", rate=fps, options=_ENCODING)
        output.width, output.height, output.pix_fmt = like.width, like.height, "yuv420p"
        # Editors scrub, so that keyframes are close.
        output.codec_context.gop_size = max(1, round(fps / 2))
        for name in _COLOUR:
            setattr(output.codec_context, name, getattr(like, name))
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base, frame.pict_type = number, 1 / fps, PictureType.NONE
            file.mux(output.encode(frame))
            progress((number + 1) / count)
        file.mux(output.encode(None))


def _held(
    container: InputContainer, stream: av.VideoStream, fps: Fraction, held: Held
) -> Iterator[av.VideoFrame]:
    frame, shown = None, 0
    for frame in islice(_at_rate(container, stream, fps), held.frames):
        for _ in range(1 if shown else held.head + 1):
            yield frame
        shown += 1
    if frame is None:
        raise ValueError(f"no frame of {container.name} can be decoded; render the scene again.")
    for _ in range(held.frames - shown + held.tail):
        yield frame


def _at_rate(container: InputContainer, stream: av.VideoStream, fps: Fraction) -> Iterator[av.VideoFrame]:
    """The frames that a film of this rate shows: they are repeated or left out as its own are."""
    graph = Graph()
    source, sink = graph.add_buffer(template=stream), graph.add("buffersink")
    graph.link_nodes(
        source, graph.add("fps", f"fps={fps}:start_time=0"), graph.add("format", "yuv420p"), sink
    ).configure()
    # With threads, abandoning a decoder early can deadlock the process, as in the node pack's decoder.
    stream.codec_context.thread_count = 1
    for frame in container.decode(stream):
        graph.vpush(frame)
        yield from _pull(graph)
    graph.vpush(None)
    yield from _pull(graph)


def _pull(graph: Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (BlockingIOError, EOFError):
            return
