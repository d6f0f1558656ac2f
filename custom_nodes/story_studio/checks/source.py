"""The frames and the audio of a clip that is measured, in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.filter import Graph

from ..media.footage import Footage, read_footage
from ..media.probe import probe, to_seconds
from ..signal.loudness import SAMPLE_RATE
from ..story.levels import repaired
from .reduced import Reduced

SIDE = 480
"""The shorter side of the frames that are measured, at most, in pixels."""
_LONGEST_BLOCK = 2 * SAMPLE_RATE
_WHOLE = 0.9
"""The part of the frames that a whole clip has at least: some files state one or two too many."""


@dataclass(frozen=True)
class Source:
    """A clip.

    Attributes:
        path: its file.
        footage: what the file says that is in it.
    """

    path: Path
    footage: Footage


def open_source(path: Path) -> Source:
    """Reads what is in a clip.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: it has no video, or cannot be read.
    """
    info = probe(path)
    if not info.frames or not info.fps:
        raise ValueError(f"{path.name} has no video, so there is nothing to check: give a file with video.")
    try:
        return Source(path, read_footage(path))
    except FFmpegError as error:
        raise ValueError(_damaged(path, error)) from error


def frames_of(source: Source) -> Iterator[Reduced]:
    """All frames, upright, no larger than they are measured; each with its time from the first one on.

    Raises ValueError if the file is damaged or not whole.
    """
    path, footage, count, at = source.path, source.footage, 0, 0.0
    try:
        with av.open(str(path)) as container:
            for at, rgb in _decoded(container, footage):
                count += 1
                yield Reduced(at, rgb)
    except FFmpegError as error:
        raise ValueError(_damaged(path, error, at)) from error
    if count < footage.info.frames * _WHOLE:
        raise ValueError(
            f"{path.name} is not whole: {count} of its {footage.info.frames} frames can be decoded. Render or"
            " export it again."
        )


def _damaged(path: Path, error: FFmpegError, at: float = 0.0) -> str:
    where = f" after {at:.1f} s" if at else ""
    return f"{path.name} is damaged{where} ({error.strerror}): render or export it again."


def _decoded(container: InputContainer, footage: Footage) -> Iterator[tuple[float, np.ndarray]]:
    stream = container.streams.video[0]
    # See `media.decoder` for why there is one thread. It runs beside whoever measures the frames.
    stream.codec_context.thread_count = 1
    graph, first = graph_of(stream, footage), None
    for index, frame in enumerate(container.decode(stream)):
        graph.vpush(frame)
        shown = graph.vpull()
        assert isinstance(shown, av.VideoFrame)
        time = None if shown.pts is None else float(to_seconds(shown.pts, shown.time_base))
        first = time if first is None else first
        at = index / float(footage.fps) if time is None or first is None else time - first
        yield at, shown.to_ndarray()


def graph_of(stream: av.VideoStream, footage: Footage) -> Graph:
    """From the frames of a clip to upright rgb24 frames."""
    width, height = footage.size
    scale = min(Fraction(1), Fraction(SIDE, min(width, height)))
    graph = Graph()
    turns = (name.partition("=")[::2] for name in footage.turns)
    steps = (
        *((name, options or None) for name, options in turns),
        ("scale", f"{max(2, round(width * scale))}:{max(2, round(height * scale))}:flags=bicubic"),
        ("format", "rgb24"),
        ("buffersink", None),
    )
    source = graph.add_buffer(template=stream)
    graph.link_nodes(source, *(graph.add(name, options) for name, options in steps)).configure()
    return graph


def audio_of(source: Source, longest: float) -> Iterator[np.ndarray]:
    """The audio in blocks of about a second, float32 [2, n] at 48 kHz, from the first frame of the video on.

    Before audio that is late there is silence, of `longest` seconds at most: a file can state any time.
    Nothing without audio. Raises ValueError if it cannot be decoded.
    """
    try:
        with av.open(str(source.path)) as container:
            if not container.streams.audio:
                return
            yield from _audio(container, round(longest * SAMPLE_RATE))
    except FFmpegError as error:
        raise ValueError(
            f"The audio of {source.path.name} is damaged ({error.strerror}): render or export it again."
        ) from error


def _audio(container: InputContainer, longest: int) -> Iterator[np.ndarray]:
    stream = container.streams.audio[0]
    # Interleaved, because PyAV crashes on planes of eight channels or more.
    resampler = av.AudioResampler("flt", "stereo", SAMPLE_RATE)
    skip: int | None = None
    pending: list[np.ndarray] = []
    for frame in container.decode(stream):
        if skip is None:
            delay = _delay(container, frame)
            skip = max(0, -delay)
            for start in range(0, min(delay, longest), SAMPLE_RATE):
                yield np.zeros((2, min(SAMPLE_RATE, min(delay, longest) - start)), np.float32)
        # Frames with a gap before them would be rejected, and are passed on without one.
        frame.pts = None
        pending += [_channels(one) for one in resampler.resample(frame)]
        if sum(block.shape[1] for block in pending) >= SAMPLE_RATE:
            block = np.concatenate(pending, axis=1)
            yield from _pieces(block[:, skip:])
            pending, skip = [], max(0, skip - block.shape[1])
    pending += [_channels(one) for one in resampler.resample(None)]
    if pending:
        yield from _pieces(np.concatenate(pending, axis=1)[:, skip or 0 :])


def _pieces(block: np.ndarray) -> Iterator[np.ndarray]:
    """A block in parts that are not empty: a frame of uncompressed audio may be minutes long."""
    for start in range(0, block.shape[1], _LONGEST_BLOCK):
        yield block[:, start : start + _LONGEST_BLOCK]


def _channels(frame: av.AudioFrame) -> np.ndarray:
    return repaired(frame.to_ndarray().reshape(-1, 2).T.astype(np.float32))


def _delay(container: InputContainer, first: av.AudioFrame) -> int:
    """Samples from the first frame of the video to the first of the audio."""
    video = container.streams.video[0]
    video_start = to_seconds(video.start_time, video.time_base)
    return round((to_seconds(first.pts, first.time_base) - video_start) * SAMPLE_RATE)
