"""How the colours and the sharpness of a clip drift from chunk to chunk, and its colours without that.

A model that continues its own frames chunk by chunk slowly changes their colours. Each part of the clip is
compared with the first second, pixel by pixel of a small copy, where both show the same thing: what moves is
left out, so motion does not count as drift. See `signal.color_transfer` for the map between these pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import av
import numpy as np

from ..signal.color_transfer import IDENTITY, Map, applied, delta_e, lab, transfer_of
from .clip_frames import Scaler

NOTICED = 2.3
"""The CIE 1976 colour difference from which people notice one (Mahy et al., 1994). A clip none of whose
chunks drifts by as much is not corrected."""
_SIDE = 96
"""The longer side of the small copy."""
_BLOCK = 8
"""Frames that are compared at a time."""
_EVERY = 2
_REFERENCE = 16
"""Frames that the others are compared with."""
_JOINED = 0.5
"""A jump of the correction between chunks by less than this, a colour difference, is noise of the measurement
and is evened out. A larger one undoes a jump of the clip."""


@dataclass(frozen=True)
class ChunkDrift:
    """The drift of one chunk.

    Attributes:
        chunk: its index.
        delta_e: by how much its colours differ from those of the first second, CIE 1976, averaged over the
            frame.
        sharpness: its sharpness as a multiple of that of the first second: the variance of the Laplacian of
            luma (Pech-Pacheco et al., 2000).
    """

    chunk: int
    delta_e: float
    sharpness: float


@dataclass(frozen=True)
class Drift:
    """The drift of a clip, and the maps that undo it.

    Attributes:
        chunks: the drift of each chunk.
        starts: the first frame of each chunk, and the number of frames.
        ends: for each chunk the map at its first and at its last frame.
    """

    chunks: tuple[ChunkDrift, ...]
    starts: tuple[int, ...]
    ends: tuple[tuple[Map, Map], ...]

    @property
    def is_noticed(self) -> bool:
        """Whether it is enough to correct it."""
        return any(chunk.delta_e >= NOTICED for chunk in self.chunks)

    def map_at(self, frame: int) -> Map:
        """The map that undoes the drift of a frame."""
        chunk = max(0, int(np.searchsorted(self.starts, frame, side="right")) - 1)
        chunk = min(chunk, len(self.ends) - 1)
        first, last = self.ends[chunk]
        length = self.starts[chunk + 1] - self.starts[chunk] - 1
        weight = (frame - self.starts[chunk]) / length if length else 0.0
        return first + (last - first) * weight

    def json(self) -> dict[str, Any]:
        """What the manifest has of it."""
        chunks = [
            {
                "chunk": chunk.chunk,
                "delta_e": round(chunk.delta_e, 2),
                "sharpness": round(chunk.sharpness, 3),
            }
            for chunk in self.chunks
        ]
        return {"drift": chunks, "corrected": self.is_noticed}


def measure(frames: Iterable[av.VideoFrame], starts: Sequence[int]) -> Drift:
    """Measures the drift of a clip, in flat memory.

    Args:
        frames: all its frames, yuv420p BT.709.
        starts: the first frame of each chunk, from 0 on.
    """
    reference, meter, blocks = None, _Meter(), []
    for block in _blocks(frames, starts, meter):
        if reference is None:
            reference = block
            blocks.append((block.centre, IDENTITY))
        else:
            blocks.append((block.centre, transfer_of(block.pixels, reference.pixels)))
    assert reference is not None
    bounds = (*starts, meter.frames)
    maps = [_line(blocks, start, end) for start, end in pairwise(bounds)]
    ends = _joined(maps, reference.pixels)
    chunks = tuple(
        ChunkDrift(index, delta_e(reference.pixels, (first + last) / 2), meter.sharpness(start, end))
        for index, ((first, last), (start, end)) in enumerate(zip(ends, pairwise(bounds), strict=True))
    )
    return Drift(chunks, bounds, tuple(ends))


def corrected(frames: Iterable[av.VideoFrame], drift: Drift) -> Iterator[av.VideoFrame]:
    """The frames without the drift, rgb24; or as they are if nobody would notice it."""
    if not drift.is_noticed:
        yield from frames
        return
    to_rgb = Scaler("rgb24")
    for index, frame in enumerate(frames):
        pixels = to_rgb(frame).to_ndarray()
        change = drift.map_at(index).astype(np.float32)
        changed = pixels.reshape(-1, 3).astype(np.float32) @ change[:, :3].T + change[:, 3] * 255
        # Rounded, and in place, because frames can be large.
        np.clip(np.rint(changed, out=changed), 0, 255, out=changed)
        yield av.VideoFrame.from_ndarray(changed.astype(np.uint8).reshape(pixels.shape), format="rgb24")


@dataclass(frozen=True)
class _Block:
    """A few frames: the middle one's index, and their median, float32 [pixels, 3], RGB from 0 to 1."""

    centre: float
    pixels: np.ndarray


class _Meter:
    """Counts frames and measures their sharpness."""

    def __init__(self) -> None:
        self.frames = 0
        self._values: list[tuple[int, float]] = []

    def add(self, frame: av.VideoFrame) -> None:
        if self.frames % _BLOCK == 0:
            luma = frame.to_ndarray()[: frame.height].astype(np.float32)
            laplacian = luma[1:-1, :-2] + luma[1:-1, 2:] + luma[:-2, 1:-1] + luma[2:, 1:-1]
            self._values.append((self.frames, float(np.var(laplacian - 4 * luma[1:-1, 1:-1]))))
        self.frames += 1

    def sharpness(self, start: int, end: int) -> float:
        """That of some frames, as a multiple of that of the first second."""
        reference = np.median([value for index, value in self._values if index < _REFERENCE])
        values = [value for index, value in self._values if start <= index < end]
        return float(np.median(values) / reference) if values and reference else 1.0


def _blocks(frames: Iterable[av.VideoFrame], starts: Sequence[int], meter: _Meter) -> Iterator[_Block]:
    """The median of the first second, and then of each few frames of one chunk."""
    small: Scaler | None = None
    kept: list[np.ndarray] = []
    first, size, borders = 0, _REFERENCE, set(starts)
    for index, frame in enumerate(frames):
        if kept and (index - first == size or (index in borders and first >= _REFERENCE)):
            yield _block(first, index, kept)
            kept, first, size = [], index, _BLOCK
        small = small or Scaler("rgb24", _small_size(frame))
        if (index - first) % _EVERY == 0:
            kept.append(small(frame).to_ndarray().reshape(-1, 3))
        meter.add(frame)
    if kept:
        yield _block(first, meter.frames, kept)


def _block(first: int, end: int, kept: list[np.ndarray]) -> _Block:
    return _Block((first + end - 1) / 2, np.median(kept, axis=0).astype(np.float32) / 255)


def _small_size(frame: av.VideoFrame) -> tuple[int, int]:
    scale = min(1.0, _SIDE / max(frame.width, frame.height))
    return max(2, round(frame.width * scale)), max(2, round(frame.height * scale))


def _line(blocks: Sequence[tuple[float, Map]], start: int, end: int) -> tuple[Map, Map]:
    """The maps at the first and the last frame of a chunk, on the Theil-Sen line through its blocks."""
    inside = [(centre, change) for centre, change in blocks if start <= centre < end]
    if not inside:
        nearest = min(blocks, key=lambda block: abs(block[0] - (start + end) / 2))[1]
        return nearest, nearest
    centres = np.array([centre for centre, _ in inside])
    maps = np.array([change for _, change in inside])
    slopes = [(maps[b] - maps[a]) / (centres[b] - centres[a]) for a, b in combinations(range(len(inside)), 2)]
    slope = np.median(slopes, axis=0) if slopes else np.zeros((3, 4))
    level = np.median(maps - slope * centres[:, None, None], axis=0)
    return level + slope * start, level + slope * (end - 1)


def _joined(maps: list[tuple[Map, Map]], reference: np.ndarray) -> list[tuple[Map, Map]]:
    """The same maps without small jumps between chunks, so that no border shows that the clip has not."""
    ends = [list(pair) for pair in maps]
    for before, after in pairwise(ends):
        changed = [lab(applied(reference, change)) for change in (before[1], after[0])]
        if np.linalg.norm(changed[0] - changed[1], axis=1).mean() < _JOINED:
            before[1] = after[0] = (before[1] + after[0]) / 2
    return [(first, last) for first, last in ends]
