"""Writing one clip: pictures as they come, and the sound that goes with them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import av
import numpy as np
from av.filter import Graph

from ..files import written_aside
from .encoder import SAMPLE_RATE, Encoder, exactly, resampling

if TYPE_CHECKING:
    import torch

_BATCH = 8


class ClipWriter:
    """A context manager that streams pictures and their sound into an MP4 file; memory stays flat.

    It encodes in a thread of its own: what is written is still encoded while the next pictures are made.

    `waveform` is float32 [channels, samples] at `sample_rate` hertz; mono stays mono, anything else becomes
    stereo. It starts with the first picture and is cut, or filled up with silence, to end with the last.
    `crf` is x264's quality, 0 (best) to 51; 16 is hard to tell from the original. `metadata` becomes the
    file's tags.

    The file appears at `path` when the block ends well. If it raises, `path` is left as it was.
    Raises ValueError for odd or empty dimensions and if no picture was written.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        waveform: np.ndarray,
        sample_rate: int,
        fps: int = 16,
        crf: float = 16,
        metadata: dict[str, str] | None = None,
    ) -> None:
        self.frames = 0
        self._path, self._size, self._fps = Path(path), (height, width, 3), Fraction(fps)
        waveform = np.asarray(waveform, np.float32)
        self._sound = resampling(waveform, sample_rate)
        self._unheard = np.zeros_like(waveform[:2, :0])
        self._heard = 0
        self._crf, self._metadata = crf, metadata or {}
        self._waiting: Future[None] = Future()
        self._waiting.set_result(None)

    def __enter__(self) -> ClipWriter:
        height, width, _ = self._size
        with ExitStack() as stack:
            aside = stack.enter_context(written_aside(self._path))
            encoder = Encoder(aside, width, height, self._fps, len(self._unheard), self._crf, self._metadata)
            self._encoder = stack.enter_context(encoder)
            self._yuv = _yuv_converter(width, height)
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
            self._waiting.result()
            if self.frames == 0:
                raise ValueError(f"No picture was written to {self._path.name}.")

    def write(self, pictures: np.ndarray | torch.Tensor) -> None:
        """Add pictures [N, height, width, 3], RGB, uint8 or float from 0 to 1; they must not change any more.

        Waits until the pictures before them are encoded, so that no more than two parts are held.
        Raises ValueError if their shape is another, and what went wrong with the pictures before them.
        """
        if pictures.ndim != 4 or tuple(pictures.shape[1:]) != self._size:
            expected = ", ".join(map(str, self._size))
            raise ValueError(f"Expected pictures [N, {expected}], got {list(pictures.shape)}.")
        self._waiting.result()
        self._waiting = self._thread.submit(self._encode, pictures)

    def _encode(self, pictures: np.ndarray | torch.Tensor) -> None:
        for start in range(0, len(pictures), _BATCH):
            for picture in _as_bytes(pictures[start : start + _BATCH]):
                self._add(picture)

    def _add(self, picture: np.ndarray) -> None:
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = self.frames, 1 / self._fps
        self._yuv.vpush(frame)
        self._encoder.frame(self._yuv.vpull())
        self.frames += 1
        end = round(self.frames * SAMPLE_RATE / self._fps)
        self._encoder.sound(self._hear(end - self._heard))
        self._heard = end

    def _hear(self, samples: int) -> np.ndarray:
        """The next samples of the sound, and silence after its end."""
        while self._unheard.shape[1] < samples and (part := next(self._sound, None)) is not None:
            self._unheard = np.concatenate([self._unheard, part], axis=1)
        heard, self._unheard = exactly(self._unheard, samples), self._unheard[:, samples:]
        return heard


def _as_bytes(pictures: np.ndarray | torch.Tensor) -> np.ndarray:
    if not isinstance(pictures, np.ndarray):
        pictures = pictures.detach()
        if pictures.is_floating_point():
            pictures = (pictures.float() * 255).round_().clamp_(0, 255).byte()
        return pictures.cpu().contiguous().numpy()
    if pictures.dtype != np.uint8:
        pictures = (pictures.clip(0, 1) * 255).round().astype(np.uint8)
    return np.ascontiguousarray(pictures)


def _yuv_converter(width: int, height: int) -> Graph:
    """From RGB to limited-range BT.709; PyAV's own `reformat` has no exact rounding in all its versions."""
    graph = Graph()
    source = graph.add_buffer(
        width=width, height=height, format=av.VideoFormat("rgb24"), time_base=Fraction(1, 16)
    )
    scale = graph.add(
        "scale", "out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_inp+bitexact"
    )
    graph.link_nodes(source, scale, graph.add("format", "yuv420p"), graph.add("buffersink")).configure()
    return graph
