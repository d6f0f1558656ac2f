"""Writing video and AAC to an MP4 file, with the same settings for every clip and film."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.codec.codec import UnknownCodecError
from av.filter import Graph
from av.video.frame import PictureType

from ..signal.loudness import SAMPLE_RATE
from .delivery import Codec

AAC_BIT_RATE = 192_000
MUXING = {
    "movflags": "+faststart+use_metadata_tags",
    "fflags": "+bitexact",
    # The default of 1/1000 s would end the audio up to a millisecond off the video.
    "movie_timescale": str(SAMPLE_RATE),
}
_AAC_BLOCK = 1024
_ENCODERS: dict[Codec, str] = {"h264": "libx264", "h265": "libx265", "av1": "libsvtav1"}
_PART_SAMPLES = 2**18
"""Samples that are resampled at a time."""
_BT709, _LIMITED_RANGE = 1, 1
"""libavutil's AVCOL_SPC_BT709 (and AVCOL_PRI_, AVCOL_TRC_), and AVCOL_RANGE_MPEG."""
TO_BT709 = "out_color_matrix=bt709:out_range=tv"
"""Options of ffmpeg's `scale` for limited-range BT.709."""
VISUALLY_LOSSLESS: dict[Codec, int] = {"h264": 16, "h265": 19, "av1": 24}
"""The CRF of each codec at which nobody sees a difference, with the settings below."""


def resample_in_parts(waveform: np.ndarray, sample_rate: int) -> Iterator[np.ndarray]:
    """Resamples float32 audio [channels, samples] to 48 kHz and at most 2 channels, without delay.

    Yields a few seconds at a time to save memory.
    """
    starts = range(0, waveform.shape[1], _PART_SAMPLES)
    return resampled((waveform[:, start : start + _PART_SAMPLES] for start in starts), sample_rate)


def resampled(parts: Iterable[np.ndarray], sample_rate: int) -> Iterator[np.ndarray]:
    """Like `resample_in_parts`, for audio that comes in parts."""
    resampler, samples, layout = None, 0, ""
    for part in parts:
        channels = len(part)
        if sample_rate == SAMPLE_RATE and channels <= 2:
            yield part
            continue
        if resampler is None:
            layout = {1: "mono", 2: "stereo"}.get(channels, f"{channels}c")
            resampler = av.AudioResampler("fltp", "mono" if channels == 1 else "stereo", SAMPLE_RATE)
        # Interleaved, because PyAV crashes on planes of eight channels or more.
        frame = av.AudioFrame.from_ndarray(part.T.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = sample_rate, samples, Fraction(1, sample_rate)
        samples += part.shape[1]
        yield from (block.to_ndarray() for block in resampler.resample(frame))
    if resampler:
        yield from (block.to_ndarray() for block in resampler.resample(None))


def yuv_converter(width: int, height: int) -> Graph:
    """Converts RGB to limited-range BT.709; not every version of PyAV's `reformat` rounds exactly."""
    graph = Graph()
    source = graph.add_buffer(
        width=width, height=height, format=av.VideoFormat("rgb24"), time_base=Fraction(1, 16)
    )
    scale = graph.add("scale", f"{TO_BT709}:flags=bicubic+accurate_rnd+full_chroma_inp+bitexact")
    graph.link_nodes(source, scale, graph.add("format", "yuv420p"), graph.add("buffersink")).configure()
    return graph


def pad_or_cut(audio: np.ndarray, samples: int) -> np.ndarray:
    """Audio [channels, n] cut or padded with silence to [channels, samples]."""
    audio = audio[:, :samples]
    return np.pad(audio, ((0, 0), (0, samples - audio.shape[1])))


def _options(codec: Codec, crf: float) -> dict[str, str]:
    """The encoder's options, with fixed numbers of threads, on which the output depends."""
    if codec == "av1":
        # SVT-AV1 prints its whole configuration on stderr otherwise.
        os.environ.setdefault("SVT_LOG", "1")
        return {"crf": str(round(crf)), "preset": "8", "svtav1-params": "lp=4"}
    if codec == "h265":
        parameters = "log-level=error:pools=4:frame-threads=2"
        return {"crf": str(crf), "preset": "veryfast", "forced-idr": "1", "x265-params": parameters}
    options = {"crf": str(crf), "preset": "veryfast", "threads": "4", "forced-idr": "1"}
    # x264's AVX-512 code for macroblock trees reads uninitialised memory, so two runs would differ. The
    # capability is PyTorch's, which ATEN_CPU_CAPABILITY can lower for tests.
    if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
        options["x264-params"] = "asm=AVX2"
    return options


class Encoder:
    """A context manager that writes frames and audio to an MP4 file, byte for byte the same in every run.

    Audio should be added along with its frames, because what is ahead is buffered. The file is complete only
    if the block succeeds. With `spliced`, a stream whose parameters are copied, add `packet`s instead of
    `frame`s.

    Raises:
        ValueError: the size is odd or empty, or this PyAV has no encoder for the codec.
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
        codec: Codec = "h264",
        copied_audio: av.AudioStream | None = None,
    ) -> None:
        if width % 2 or height % 2 or width < 2 or height < 2:
            raise ValueError(
                f"The video needs an even width and height, not {width}x{height}: resize or crop the frames."
            )
        self._file = av.open(str(path), "w", format="mp4", options=MUXING)
        self._file.metadata.update(metadata)
        self._encodes = spliced is None
        self._encodes_audio = copied_audio is None and channels > 0
        self._layout = "mono" if channels == 1 else "stereo"
        self._fps = fps
        self._frames = self._samples = 0
        self._pending_audio = np.zeros((channels, 0), np.float32)
        if spliced:
            self._video_stream = self._file.add_stream_from_template(spliced)
        else:
            self._video_stream = self._add_video(width, height, codec, _options(codec, crf))
        self._audio_stream = self._add_audio(channels, copied_audio)

    def _add_audio(self, channels: int, copied: av.AudioStream | None) -> av.AudioStream | None:
        if copied:
            return self._file.add_stream_from_template(copied)
        if not channels:
            return None
        stream = self._file.add_stream("aac", rate=SAMPLE_RATE, layout=self._layout)
        stream.bit_rate = AAC_BIT_RATE
        return stream

    def _add_video(self, width: int, height: int, codec: Codec, options: dict[str, str]) -> av.VideoStream:
        try:
            stream = self._file.add_stream(_ENCODERS[codec], rate=self._fps, options=options)
        except UnknownCodecError:
            raise ValueError(
                f"This installation of PyAV has no encoder for {codec}: install the wheel of PyAV "
                "from PyPI, or deliver the film as h264."
            ) from None
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.gop_size = round(self._fps * 2)
        context.color_range = _LIMITED_RANGE
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        if codec == "h265":
            # Apple's players open no H.265 under ffmpeg's usual tag, hev1.
            context.codec_tag = "hvc1"
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

    def audio_packet(self, packet: av.Packet) -> None:
        """Adds encoded audio at its own time stamp."""
        assert self._audio_stream
        packet.stream = self._audio_stream
        self._file.mux(packet)

    def audio(self, samples: np.ndarray) -> None:
        """Adds any number of samples, float32 [channels, samples] at 48 kHz; none without channels."""
        if not len(samples):
            return
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
        assert self._audio_stream
        self._file.mux(self._audio_stream.encode(frame))

    def __enter__(self) -> Encoder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        with self._file:
            if error is None:
                self._encode_audio(self._pending_audio.shape[1])
                if self._encodes:
                    self._file.mux(self._video_stream.encode(None))
                if self._encodes_audio and self._audio_stream:
                    self._file.mux(self._audio_stream.encode(None))
