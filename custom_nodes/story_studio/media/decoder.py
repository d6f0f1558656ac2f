"""Reading one file's pictures and sound in the form a film needs them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.filter import Graph

from .encoder import SAMPLE_RATE, resampled
from .probe import moment


def pictures(path: Path, width: int, height: int, fps: Fraction, count: int) -> Iterator[av.VideoFrame]:
    """Decode a file to exactly `count` yuv420p BT.709 pictures at `fps`, letterboxed to `width` x `height`.

    What is too long is cut; what is too short holds its last picture.
    """
    frame = None
    for frame in islice(_conformed(path, width, height, fps), count):
        count -= 1
        yield frame
    if frame is None:
        raise ValueError(f"{path.name} has no picture that can be decoded.")
    for _ in range(count):
        yield frame


def _conformed(path: Path, width: int, height: int, fps: Fraction) -> Iterator[av.VideoFrame]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        # PyAV frees a decoder with the interpreter's lock held, and its log callback in the decoder's own
        # threads waits for that lock: with threads, a decoder that is left early can stop the whole process.
        stream.codec_context.thread_count = 1
        graph = _conform_graph(stream, width, height, fps)
        for frame in container.decode(stream):
            graph.vpush(frame)
            yield from _ready(graph)
        graph.vpush(None)
        yield from _ready(graph)


def _conform_graph(stream: av.VideoStream, width: int, height: int, fps: Fraction) -> Graph:
    graph = Graph()
    fit = f"{width}:{height}:force_original_aspect_ratio=decrease:force_divisible_by=2"
    colour = "out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_inp+bitexact"
    steps = (
        ("fps", f"fps={fps}:start_time=0"),
        ("scale", f"{fit}:{colour}"),
        ("format", "yuv420p"),
        ("pad", f"{width}:{height}:-1:-1"),
        ("setsar", "1"),
        ("buffersink", None),
    )
    source = graph.add_buffer(template=stream)
    graph.link_nodes(source, *(graph.add(name, options) for name, options in steps)).configure()
    return graph


def _ready(graph: Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (BlockingIOError, EOFError):
            return


def sound(path: Path) -> np.ndarray:
    """Decode a file's sound to float32 [2, samples] at 48 kHz, starting with the file's first picture.

    A file without sound gives no samples.
    """
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return np.zeros((2, 0), np.float32)
        stream = container.streams.audio[0]
        frames = av.AudioResampler("fltp")
        blocks, start = [], 0
        for frame in container.decode(stream):
            start = start if blocks else _lead(container, frame)
            blocks += [block.to_ndarray() for block in frames.resample(frame)]
        blocks += [block.to_ndarray() for block in frames.resample(None)]
        if not blocks:
            return np.zeros((2, 0), np.float32)
        waveform = resampled(np.concatenate(blocks, axis=1), stream.sample_rate)
    shifted = np.pad(waveform, ((0, 0), (max(start, 0), 0)))[:, max(-start, 0) :]
    return np.repeat(shifted, 2, axis=0) if len(shifted) == 1 else shifted


def _lead(container: InputContainer, first: av.AudioFrame) -> int:
    """Samples by which the sound starts after the pictures."""
    pictures = next(iter(container.streams.video), None)
    shown = moment(pictures.start_time, pictures.time_base) if pictures else 0
    return round((moment(first.pts, first.time_base) - shown) * SAMPLE_RATE)
