"""Audio for a timeline: WAV files of 48 kHz and 24 bits, which every editor reads."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import av.error
import numpy as np
from av.filter import Graph

RATE = 48_000
_PEAK = 10 ** (-1 / 20)
"""Highest sample value after a gain: -1 dBFS, the bound of the film."""


class Written(NamedTuple):
    """A file that was written: how many samples of how many channels it has."""

    samples: int
    channels: int


def write_wav(source: Path, target: Path, samples: int, gain: float = 0.0) -> Written:
    """Writes the audio of a file as WAV, mono or stereo.

    Args:
        source: any file with audio.
        target: the WAV file.
        samples: its least length at 48 kHz; shorter audio is followed by silence.
        gain: in dB; less where the audio would exceed -1 dBFS.

    Raises:
        ValueError: there is no audio in the file.
        OSError: a file cannot be read or written.
    """
    channels = 2 if _channels(source) > 1 else 1
    factor = 10 ** (gain / 20)
    if factor > 1:
        peak = max((float(np.abs(block).max(initial=0)) for block in _blocks(source, channels)), default=0)
        factor = max(1.0, min(factor, _PEAK / peak)) if peak else 1.0
    with av.open(str(target), "w", format="wav", options={"fflags": "+bitexact"}) as file:
        layout = "stereo" if channels == 2 else "mono"
        stream = file.add_stream("pcm_s24le", rate=RATE, layout=layout)
        written = 0
        for block in _with_silence(_blocks(source, channels), samples, channels):
            whole = np.rint(np.clip(block * factor, -1, 1) * (2**23 - 1)).astype(np.int32) << 8
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(whole.T.reshape(1, -1)), "s32", layout)
            frame.sample_rate, frame.pts, frame.time_base = RATE, written, Fraction(1, RATE)
            written += block.shape[1]
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return Written(written, channels)


def loudness_of(path: Path) -> float:
    """The integrated loudness in LUFS (ITU-R BS.1770), of mono as two speakers play it; -70 is silence."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        graph = Graph()
        source, sink = graph.add_abuffer(template=stream), graph.add("abuffersink")
        graph.link_nodes(source, graph.add("ebur128", "metadata=1:dualmono=1"), sink).configure()
        measured = -70.0
        for frame in container.decode(stream):
            graph.push(frame)
            while True:
                try:
                    pulled = graph.pull()
                except (BlockingIOError, EOFError):
                    break
                measured = float(dict(pulled.metadata or {}).get("lavfi.r128.I", measured))
    return measured


def _channels(path: Path) -> int:
    with av.open(str(path)) as container:
        if not container.streams.audio:
            raise ValueError(f"{path.name} has no audio in it.")
        return container.streams.audio[0].channels


def _blocks(path: Path, channels: int) -> Iterator[np.ndarray]:
    """Float32 audio [channels, samples] at 48 kHz, a block at a time."""
    # Interleaved, because PyAV crashes on planes of eight channels or more.
    resampler = av.AudioResampler("flt", "stereo" if channels == 2 else "mono", RATE)
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.audio[0]):
            for block in resampler.resample(frame):
                yield np.nan_to_num(block.to_ndarray().reshape(-1, channels).T)
        for block in resampler.resample(None):
            yield np.nan_to_num(block.to_ndarray().reshape(-1, channels).T)


def _with_silence(blocks: Iterator[np.ndarray], samples: int, channels: int) -> Iterator[np.ndarray]:
    for block in blocks:
        yield block
        samples -= block.shape[1]
    while samples > 0:
        yield np.zeros((channels, min(samples, RATE)), np.float32)
        samples -= min(samples, RATE)
