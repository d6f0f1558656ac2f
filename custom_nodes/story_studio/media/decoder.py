"""Decoding a file to the frames and audio that a film needs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.filter import Graph

from ..story.levels import peak_of, repaired
from .canvas import Canvas
from .encoder import SAMPLE_RATE, resample
from .footage import Footage
from .probe import to_seconds


def decode_frames(path: Path, footage: Footage, canvas: Canvas, count: int) -> Iterator[av.VideoFrame]:
    """Decodes a file to exactly `count` yuv420p BT.709 frames, turned upright and letterboxed to the canvas.

    A longer video is cut; in a shorter one the last frame is repeated. Raises ValueError if no frame can be
    decoded.
    """
    frame = None
    for frame in islice(_conformed(path, footage, canvas), count):
        count -= 1
        yield frame
    if frame is None:
        raise ValueError(f"No frame of {path.name} can be decoded: the file is damaged.")
    for _ in range(count):
        yield frame


def _conformed(path: Path, footage: Footage, canvas: Canvas) -> Iterator[av.VideoFrame]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        # PyAV frees a decoder while holding the GIL, and its log callback in the decoder's threads waits for
        # the GIL: with threads, abandoning a decoder early can deadlock the process.
        stream.codec_context.thread_count = 1
        graph = _conform_graph(stream, footage, canvas)
        for frame in container.decode(stream):
            graph.vpush(frame)
            yield from _pull_all(graph)
        graph.vpush(None)
        yield from _pull_all(graph)


def _conform_graph(stream: av.VideoStream, footage: Footage, canvas: Canvas) -> Graph:
    graph = Graph()
    width, height = canvas.width, canvas.height
    fit = f"{width}:{height}:force_original_aspect_ratio=decrease:force_divisible_by=2"
    if not footage.is_plain:
        fit = ":".join(map(str, footage.fit(width, height)))
    turns = (name.partition("=")[::2] for name in footage.turns)
    colour = "out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_inp+bitexact"
    steps = (
        ("fps", f"fps={canvas.fps}:start_time=0"),
        *((name, options or None) for name, options in turns),
        ("scale", f"{fit}:{colour}"),
        ("format", "yuv420p"),
        ("pad", f"{width}:{height}:-1:-1"),
        ("setsar", "1"),
        ("buffersink", None),
    )
    source = graph.add_buffer(template=stream)
    graph.link_nodes(source, *(graph.add(name, options) for name, options in steps)).configure()
    return graph


def _pull_all(graph: Graph) -> Iterator[av.VideoFrame]:
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
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return np.zeros((2, 0), np.float32)
        stream = container.streams.audio[0]
        # Interleaved, because PyAV crashes on planes of eight channels or more.
        frames = av.AudioResampler("flt")
        blocks, start = [], 0
        for frame in container.decode(stream):
            start = start if blocks else _audio_delay(container, frame)
            blocks += [_samples(block) for block in frames.resample(frame)]
        blocks += [_samples(block) for block in frames.resample(None)]
        if not blocks:
            return np.zeros((2, 0), np.float32)
        waveform = resample(np.concatenate(blocks, axis=1), stream.sample_rate)
    waveform = waveform * np.float32(1 / max(1.0, peak_of(waveform)))
    shifted = np.pad(waveform, ((0, 0), (max(start, 0), 0)))[:, max(-start, 0) :]
    return np.repeat(shifted, 2, axis=0) if len(shifted) == 1 else shifted


def _samples(block: av.AudioFrame) -> np.ndarray:
    """Interleaved floats as [channels, samples], with silence for what is no number."""
    return repaired(block.to_ndarray().reshape(-1, block.layout.nb_channels).T)


def _audio_delay(container: InputContainer, first: av.AudioFrame) -> int:
    """Samples from the first video frame to the first audio frame."""
    video = next(iter(container.streams.video), None)
    video_start = to_seconds(video.start_time, video.time_base) if video else 0
    return round((to_seconds(first.pts, first.time_base) - video_start) * SAMPLE_RATE)
