"""One H.264 + AAC stream pair in an MP4 file: the settings that every film and clip shares."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.video.frame import PictureType

SAMPLE_RATE = 48_000
MUXING = {
    "movflags": "+faststart+use_metadata_tags",
    "fflags": "+bitexact",
    # The usual clock of 1/1000 s would end the sound up to a millisecond off its pictures.
    "movie_timescale": str(SAMPLE_RATE),
}
_AAC_BLOCK = 1024
_PART = 2**18
"""Samples that are resampled at a time."""
_BT709, _LIMITED_RANGE = 1, 1


def resampled(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Bring float32 sound [channels, samples] to 48 kHz and at most 2 channels, without shifting it."""
    return np.concatenate([waveform[:2, :0], *resampling(waveform, sample_rate)], axis=1)


def resampling(waveform: np.ndarray, sample_rate: int) -> Iterator[np.ndarray]:
    """As `resampled`, some seconds at a time: half an hour at 48 kHz is a lot of memory."""
    channels, samples = waveform.shape
    parts = (waveform[:, start : start + _PART] for start in range(0, samples, _PART))
    if sample_rate == SAMPLE_RATE and channels <= 2:
        yield from parts
        return
    layout = {1: "mono", 2: "stereo"}.get(channels, f"{channels}c")
    resampler = av.AudioResampler("fltp", "mono" if channels == 1 else "stereo", SAMPLE_RATE)
    for index, part in enumerate(parts):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = sample_rate, index * _PART, Fraction(1, sample_rate)
        yield from (block.to_ndarray() for block in resampler.resample(frame))
    if samples:
        yield from (block.to_ndarray() for block in resampler.resample(None))


def exactly(sound: np.ndarray, samples: int) -> np.ndarray:
    """Cut sound [channels, any] to `samples`, or fill it up with silence."""
    sound = sound[:, :samples]
    return np.pad(sound, ((0, 0), (0, samples - sound.shape[1])))


class Encoder:
    """Writes pictures and sound, in step, to an MP4 file that two runs make byte for byte the same.

    Sound should follow its pictures closely: what is ahead waits in memory. A context manager; the file is
    complete only if its block ends well. With `spliced`, a stream to take after, it gets `packet`s instead of
    `frame`s. Raises ValueError for an odd or empty size.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        fps: Fraction,
        channels: int,
        crf: float,
        metadata: dict[str, str],
        spliced: av.VideoStream | None = None,
    ) -> None:
        if width % 2 or height % 2 or width < 2 or height < 2:
            raise ValueError(
                f"H.264 needs an even width and height, not {width}x{height}: resize or crop the pictures."
            )
        self._file = av.open(str(path), "w", format="mp4", options=MUXING)
        self._file.metadata.update(metadata)
        self._encodes = spliced is None
        self._layout = "mono" if channels == 1 else "stereo"
        self._fps = fps
        self._frames = self._samples = 0
        self._waiting = np.zeros((channels, 0), np.float32)
        if spliced:
            self._video = self._file.add_stream_from_template(spliced)
        else:
            self._video = self._add_video(width, height, crf)
        self._audio = self._file.add_stream("aac", rate=SAMPLE_RATE, layout=self._layout)
        self._audio.bit_rate = 192_000

    def _add_video(self, width: int, height: int, crf: float) -> av.VideoStream:
        # A fixed number of threads, because x264's decisions depend on it and a machine's cores must not.
        options = {"crf": str(crf), "preset": "veryfast", "threads": "4", "forced-idr": "1"}
        # x264's AVX-512 code for macroblock trees reads memory that nobody wrote, so two runs would differ.
        # PyTorch says what it uses, which ATEN_CPU_CAPABILITY may lower; x264 asks the processor.
        if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
            options["x264-params"] = "asm=AVX2"
        stream = self._file.add_stream("libx264", rate=self._fps, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        codec = stream.codec_context
        codec.gop_size = round(self._fps * 2)
        codec.color_range = _LIMITED_RANGE
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
        return stream

    def frame(self, frame: av.VideoFrame, keyframe: bool = False) -> None:
        """Add one yuv420p BT.709 picture; `keyframe` lets a player jump to exactly here."""
        frame.pts, frame.time_base = self._frames, 1 / self._fps
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        self._frames += 1
        self._file.mux(self._video.encode(frame))

    def packet(self, packet: av.Packet) -> None:
        """Add one picture that is already compressed, at the time it says."""
        packet.stream = self._video
        self._file.mux(packet)

    def sound(self, samples: np.ndarray) -> None:
        """Add sound, float32 [channels, samples of any number] at 48 kHz."""
        self._waiting = np.concatenate([self._waiting, samples], axis=1)
        while self._waiting.shape[1] >= _AAC_BLOCK:
            self._encode_sound(_AAC_BLOCK)

    def _encode_sound(self, count: int) -> None:
        if count == 0:
            return
        block = np.ascontiguousarray(self._waiting[:, :count], np.float32)
        self._waiting = self._waiting[:, count:]
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._samples, Fraction(1, SAMPLE_RATE)
        self._samples += count
        self._file.mux(self._audio.encode(frame))

    def __enter__(self) -> Encoder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        with self._file:
            if error is None:
                self._encode_sound(self._waiting.shape[1])
                if self._encodes:
                    self._file.mux(self._video.encode(None))
                self._file.mux(self._audio.encode(None))
