"""Writing a clip: frames as they are rendered, and their audio."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import av
import numpy as np

from ..files import written_aside
from .audio_feed import AudioFeed, full_scale_gain
from .encoder import SAMPLE_RATE, Encoder, resample_in_parts, yuv_converter

if TYPE_CHECKING:
    import torch

_BATCH = 8


class ClipWriter:
    """A context manager that streams frames and audio into an MP4 file in constant memory.

    Encoding runs in a thread, in parallel with the rendering of the next frames. The file appears at `path`
    when the block succeeds; if it raises, `path` is unchanged.

    Args:
        path: the file.
        width, height: size of the frames in pixels, even.
        waveform: float32 [channels, samples]. Mono stays mono, anything else becomes stereo. It starts with
            the first frame, and is cut or padded with silence to end with the last. If it exceeds full scale
            at 48 kHz, or where many channels are mixed to two, its volume is lowered to full scale.
        sample_rate: of `waveform`, in Hz.
        fps: frames a second.
        crf: x264's quality, 0 (best) to 51; 16 is visually lossless.
        metadata: tags of the file.

    Raises:
        ValueError: the size is odd or empty, or no frame was written.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        waveform: np.ndarray,
        sample_rate: int,
        fps: int | Fraction = 16,
        crf: float = 16,
        metadata: dict[str, str] | None = None,
    ) -> None:
        self.frames = 0
        self._path, self._size, self._fps = Path(path), (height, width, 3), Fraction(fps)
        waveform = np.asarray(waveform, np.float32)
        gain = full_scale_gain(resample_in_parts(waveform, sample_rate))
        self._channels = len(waveform[:2])
        self._audio = AudioFeed(resample_in_parts(waveform, sample_rate), self._channels, gain=gain)
        self._samples = 0
        self._crf, self._metadata = crf, metadata or {}
        self._encoding: Future[None] = Future()
        self._encoding.set_result(None)

    def __enter__(self) -> ClipWriter:
        height, width, _ = self._size
        with ExitStack() as stack:
            aside = stack.enter_context(written_aside(self._path))
            encoder = Encoder(aside, width, height, self._fps, self._channels, self._crf, self._metadata)
            self._encoder = stack.enter_context(encoder)
            self._yuv = yuv_converter(width, height)
            self._thread = ThreadPoolExecutor(1, "clip-writer")
            stack.callback(self._thread.shutdown)
            self._opened = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._opened.__exit__(kind, error, trace)
            return
        with self._opened:
            self._encoding.result()
            if self.frames == 0:
                raise ValueError(f"No frame was written to {self._path.name}: write at least one.")

    def write(self, frames: np.ndarray | torch.Tensor) -> None:
        """Adds frames [N, height, width, 3], RGB, uint8 or float 0 to 1. Do not modify them afterwards.

        Waits until the previous frames are encoded, so at most two batches are in memory. Raises ValueError
        for another shape, and any error from encoding the previous frames.
        """
        if frames.ndim != 4 or tuple(frames.shape[1:]) != self._size:
            expected = ", ".join(map(str, self._size))
            raise ValueError(f"Expected frames [N, {expected}], got {list(frames.shape)}.")
        self._encoding.result()
        self._encoding = self._thread.submit(self._encode, frames)

    def _encode(self, frames: np.ndarray | torch.Tensor) -> None:
        for start in range(0, len(frames), _BATCH):
            for pixels in _as_bytes(frames[start : start + _BATCH]):
                self._add(pixels)

    def _add(self, pixels: np.ndarray) -> None:
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = self.frames, 1 / self._fps
        self._yuv.vpush(frame)
        self._encoder.frame(self._yuv.vpull())
        self.frames += 1
        end = round(self.frames * SAMPLE_RATE / self._fps)
        self._encoder.audio(self._audio.next(end - self._samples))
        self._samples = end


def _as_bytes(frames: np.ndarray | torch.Tensor) -> np.ndarray:
    if not isinstance(frames, np.ndarray):
        frames = frames.detach().cpu()
        frames = (frames.float() if frames.is_floating_point() else frames).numpy()
    if frames.dtype != np.uint8:
        # In numpy, because PyTorch's threads would compete with those that render the next frames.
        frames = (frames.clip(0, 1) * 255).round().astype(np.uint8)
    return np.ascontiguousarray(frames)
