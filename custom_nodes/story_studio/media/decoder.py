"""Decoding a file to the frames and audio that a film needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.filter import Graph
from PIL import Image

from ..story.levels import peak_of, repaired
from .canvas import Canvas
from .conform import conform_graph
from .delivery import AS_CLIPS, Delivery
from .encoder import SAMPLE_RATE, resampled
from .footage import Footage
from .probe import to_seconds

_FRAMES_AT_A_TIME = 48


def decode_frames(
    path: Path, footage: Footage, canvas: Canvas, delivery: Delivery, count: int
) -> Iterator[av.VideoFrame]:
    """Decodes a file to exactly `count` yuv420p BT.709 frames, turned upright and fitted to the canvas.

    What the delivery gives a size is enlarged with Lanczos; the rest is as in `exact_frames`.
    """
    return exact_frames(path, lambda stream: conform_graph(stream, footage, canvas, delivery), count)


def exact_frames(
    path: Path,
    graph_of: Callable[[av.VideoStream], Graph],
    count: int,
    start: Fraction = Fraction(0),
) -> Iterator[av.VideoFrame]:
    """Decodes a file through a filter graph to exactly `count` frames.

    A longer video is cut; in a shorter one the last frame is repeated. What is before the last keyframe up to
    `start`, in seconds of the video, is not decoded. Raises ValueError if no frame can be decoded.
    """
    frame = None
    for frame in islice(filtered(path, graph_of, start), count):
        count -= 1
        yield frame
    if frame is None:
        raise ValueError(
            f"No frame of {path.name} can be decoded: the file is damaged, render or export it again."
        )
    for _ in range(count):
        yield frame


def first_image(path: Path, footage: Footage) -> Image.Image:
    """The first frame of a file as it is shown, RGB."""
    own = Canvas(*footage.size, footage.fps)
    return next(decode_frames(path, footage, own, AS_CLIPS, 1)).to_image()


def filtered(
    path: Path, graph_of: Callable[[av.VideoStream], Graph], start: Fraction = Fraction(0)
) -> Iterator[av.VideoFrame]:
    """The frames of a file as a filter graph gives them, from a keyframe at or before `start` on.

    `start` is in seconds of the video.
    """
    with ExitStack() as stack:
        container = stack.enter_context(av.open(str(path)))
        stream = _single_threaded(container)
        first = _sought(container, stream, start) if start else None
        if first is None and start:
            # Not sought back to its start, which not every file lets one do.
            container = stack.enter_context(av.open(str(path)))
            stream = _single_threaded(container)
        graph = graph_of(stream)
        for frame in chain([first] if first else [], container.decode(stream)):
            graph.vpush(frame)
            yield from pulled(graph)
        graph.vpush(None)
        yield from pulled(graph)


def _single_threaded(container: InputContainer) -> av.VideoStream:
    stream = container.streams.video[0]
    # PyAV frees a decoder while holding the GIL, and its log callback in the decoder's threads waits for
    # the GIL: with threads, abandoning a decoder early can deadlock the process.
    stream.codec_context.thread_count = 1
    return stream


def _sought(container: InputContainer, stream: av.VideoStream, start: Fraction) -> av.VideoFrame | None:
    """Seeks a keyframe at or before `start`, and decodes it; None where that fails."""
    if not stream.time_base:
        return None
    time = int((to_seconds(stream.start_time, stream.time_base) + start) / stream.time_base)
    with suppress(FFmpegError):
        container.seek(time, stream=stream)
        frame = next(container.decode(stream), None)
        if frame is not None and frame.pts is not None and frame.pts <= time:
            return frame
    return None


def pulled(graph: Graph) -> Iterator[av.VideoFrame]:
    """The frames that a filter graph has ready."""
    while True:
        try:
            yield graph.vpull()
        except (BlockingIOError, EOFError):
            return


def decode_audio(path: Path) -> np.ndarray:
    """Decodes audio to float32 [2, samples] at 48 kHz, starting at the first video frame.

    A file without audio gives no samples. Samples that are not numbers are silence, and what
    exceeds full scale, as a mix of many channels can, is lowered to it.
    """
    waveform = np.concatenate([np.zeros((2, 0), np.float32), *audio_blocks(path)], axis=1)
    return waveform * np.float32(1 / max(1.0, peak_of(waveform)))


def audio_blocks(path: Path) -> Iterator[np.ndarray]:
    """Like `decode_audio`, in blocks of about a second, and not lowered to full scale."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return
        stream = container.streams.audio[0]
        frames = container.decode(stream)
        first = next(frames, None)
        if first is None:
            return
        # Silence precedes audio that starts late, and what precedes the first video frame is cut.
        start = _audio_delay(container, first)
        if start > 0:
            yield np.zeros((2, start), np.float32)
        skip = max(0, -start)
        for block in resampled(_blocks(_floats(chain([first], frames))), stream.sample_rate):
            shown, skip = block[:, skip:], max(0, skip - block.shape[1])
            if shown.size:
                yield np.repeat(shown, 2, axis=0) if len(shown) == 1 else shown


def _floats(frames: Iterable[av.AudioFrame]) -> Iterator[av.AudioFrame]:
    # Interleaved, because PyAV crashes on planes of eight channels or more.
    converter = av.AudioResampler("flt")
    for frame in frames:
        yield from converter.resample(frame)
    yield from converter.resample(None)


def _blocks(frames: Iterable[av.AudioFrame]) -> Iterator[np.ndarray]:
    """About a second each of float32 [channels, samples], with silence for what is not a number."""
    iterator = iter(frames)
    while taken := [*islice(iterator, _FRAMES_AT_A_TIME)]:
        parts = [frame.to_ndarray().reshape(-1, frame.layout.nb_channels).T for frame in taken]
        yield repaired(np.concatenate(parts, axis=1))


def _audio_delay(container: InputContainer, first: av.AudioFrame) -> int:
    """Samples from the first video frame to the first audio frame."""
    video = next(iter(container.streams.video), None)
    video_start = to_seconds(video.start_time, video.time_base) if video else 0
    return round((to_seconds(first.pts, first.time_base) - video_start) * SAMPLE_RATE)
