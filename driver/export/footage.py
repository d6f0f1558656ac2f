"""Video for a timeline: at its frame rate, and with the held frames that the film shows around a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import PictureType

_CRF = "12"
"""Of what is encoded again: finer than the film, because an editor encodes it once more."""
_COLOUR = ("color_range", "colorspace", "color_primaries", "color_trc")


@dataclass(frozen=True)
class Held:
    """The frames of a file to be written, at its new frame rate.

    Attributes:
        skip: frames of the source that are left out at its beginning.
        head: how often the first frame is repeated in front.
        frames: how many follow; where the source ends earlier, its last frame is held.
        tail: how often the last one is repeated at the end.
    """

    skip: int
    head: int
    frames: int
    tail: int


def write_held(
    source: Path, target: Path, fps: Fraction, held: Held, progress: Callable[[float], None]
) -> None:
    """Writes a video without audio, H.264 at high quality, with the frames that a film of this rate shows.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: no frame can be decoded.
    """
    total = held.head + held.frames + held.tail
    with av.open(str(source)) as container, av.open(str(target), "w", format="mp4", options=_MUXING) as file:
        stream = container.streams.video[0]
        output = file.add_stream("libx264", rate=fps, options={"crf": _CRF, "preset": "fast"})
        output.width, output.height, output.pix_fmt = stream.width, stream.height, "yuv420p"
        # Editors scrub, so that keyframes are close.
        output.codec_context.gop_size = max(1, round(fps / 2))
        for name in _COLOUR:
            setattr(output.codec_context, name, getattr(stream.codec_context, name))
        for number, frame in enumerate(_frames(container, stream, fps, held)):
            frame.pts, frame.time_base, frame.pict_type = number, 1 / fps, PictureType.NONE
            file.mux(output.encode(frame))
            progress((number + 1) / total)
        file.mux(output.encode(None))


_MUXING = {"movflags": "+faststart", "fflags": "+bitexact"}


def _frames(
    container: InputContainer, stream: av.VideoStream, fps: Fraction, held: Held
) -> Iterator[av.VideoFrame]:
    frame, shown = None, 0
    for frame in islice(_at_rate(container, stream, fps), held.skip, held.skip + held.frames):
        for _ in range(1 if shown else held.head + 1):
            yield frame
        shown += 1
    if frame is None:
        raise ValueError(f"No frame of {container.name} can be decoded: render the scene again.")
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
