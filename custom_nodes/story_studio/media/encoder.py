"""Writing H.264 and AAC to an MP4 file, with the same settings for every clip and film."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.video.frame import PictureType

SAMPLE_RATE = 48_000
AAC_BIT_RATE = 192_000
MUXING = {
    "movflags": "+faststart+use_metadata_tags",
    "fflags": "+bitexact",
    # The default of 1/1000 s would end the audio up to a millisecond off the video.
    "movie_timescale": str(SAMPLE_RATE),
}
_AAC_BLOCK = 1024
_PART_SAMPLES = 2**18
"""Samples that are resampled at a time."""
_BT709, _LIMITED_RANGE = 1, 1


def resample(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Resamples float32 audio [channels, samples] to 48 kHz and at most 2 channels, without delay."""
    return np.concatenate([waveform[:2, :0], *resample_in_parts(waveform, sample_rate)], axis=1)


def resample_in_parts(waveform: np.ndarray, sample_rate: int) -> Iterator[np.ndarray]:
    """Like `resample`, but yields a few seconds at a time to save memory."""
    channels, samples = waveform.shape
    parts = (waveform[:, start : start + _PART_SAMPLES] for start in range(0, samples, _PART_SAMPLES))
    if sample_rate == SAMPLE_RATE and channels <= 2:
        yield from parts
        return
    layout = {1: "mono", 2: "stereo"}.get(channels, f"{channels}c")
    resampler = av.AudioResampler("fltp", "mono" if channels == 1 else "stereo", SAMPLE_RATE)
    for index, part in enumerate(parts):
        # Interleaved, because PyAV crashes on planes of eight channels or more.
        frame = av.AudioFrame.from_ndarray(part.T.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = (
            sample_rate,
            index * _PART_SAMPLES,
            Fraction(1, sample_rate),
        )
        yield from (block.to_ndarray() for block in resampler.resample(frame))
    if samples:
        yield from (block.to_ndarray() for block in resampler.resample(None))


def pad_or_cut(audio: np.ndarray, samples: int) -> np.ndarray:
    """Audio [channels, n] cut or padded with silence to [channels, samples]."""
    audio = audio[:, :samples]
    return np.pad(audio, ((0, 0), (0, samples - audio.shape[1])))


class Encoder:
    """A context manager that writes frames and audio to an MP4 file, byte for byte the same in every run.

    Audio should be added along with its frames, because what is ahead is buffered. The file is complete only
    if the block succeeds. With `spliced`, a stream whose parameters are copied, add `packet`s instead of
    `frame`s.

    Raises:
        ValueError: the size is odd or empty.
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
                f"H.264 needs an even width and height, not {width}x{height}: resize or crop the frames."
            )
        self._file = av.open(str(path), "w", format="mp4", options=MUXING)
        self._file.metadata.update(metadata)
        self._encodes = spliced is None
        self._layout = "mono" if channels == 1 else "stereo"
        self._fps = fps
        self._frames = self._samples = 0
        self._pending_audio = np.zeros((channels, 0), np.float32)
        if spliced:
            self._video_stream = self._file.add_stream_from_template(spliced)
        else:
            self._video_stream = self._add_video(width, height, crf)
        self._audio_stream = self._file.add_stream("aac", rate=SAMPLE_RATE, layout=self._layout)
        self._audio_stream.bit_rate = AAC_BIT_RATE

    def _add_video(self, width: int, height: int, crf: float) -> av.VideoStream:
        # A fixed number of threads, because x264's output depends on it.
        options = {"crf": str(crf), "preset": "veryfast", "threads": "4", "forced-idr": "1"}
        # x264's AVX-512 code for macroblock trees reads uninitialised memory, so two runs would differ. The
        # capability is PyTorch's, which ATEN_CPU_CAPABILITY can lower for tests.
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
        """Adds a yuv420p BT.709 frame; players can seek exactly to a keyframe."""
        frame.pts, frame.time_base = self._frames, 1 / self._fps
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        self._frames += 1
        self._file.mux(self._video_stream.encode(frame))

    def packet(self, packet: av.Packet) -> None:
        """Adds an encoded frame at its own time stamp."""
        packet.stream = self._video_stream
        self._file.mux(packet)

    def audio(self, samples: np.ndarray) -> None:
        """Adds any number of samples, float32 [channels, samples] at 48 kHz."""
        self._pending_audio = np.concatenate([self._pending_audio, samples], axis=1)
        while self._pending_audio.shape[1] >= _AAC_BLOCK:
            self._encode_audio(_AAC_BLOCK)

    def _encode_audio(self, count: int) -> None:
        if count == 0:
            return
        block = np.ascontiguousarray(self._pending_audio[:, :count], np.float32)
        self._pending_audio = self._pending_audio[:, count:]
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._samples, Fraction(1, SAMPLE_RATE)
        self._samples += count
        self._file.mux(self._audio_stream.encode(frame))

    def __enter__(self) -> Encoder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        with self._file:
            if error is None:
                self._encode_audio(self._pending_audio.shape[1])
                if self._encodes:
                    self._file.mux(self._video_stream.encode(None))
                self._file.mux(self._audio_stream.encode(None))
