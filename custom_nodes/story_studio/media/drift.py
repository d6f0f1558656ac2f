"""How the colours and the sharpness of a clip drift from chunk to chunk, and its colours without that.

A model that continues its own frames chunk by chunk slowly changes their colours. Each part of the clip is
compared with the first second, pixel by pixel of a small copy, where both show the same thing: what moves is
left out, so motion does not count as drift. Between these pixels lies the Monge-Kantorovich linear colour
transfer (Pitie and Kokaram, "The linear Monge-Kantorovitch linear colour mapping for example-based colour
transfer", 2007): the affine map of RGB that gives one set of colours the mean and covariance of the other and
changes them least.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import av
import numpy as np

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
_SAME = 0.25
"""The part of the pixels that have to show the same thing for a comparison to count."""
_NEAR = (10.0, 5.0, 5.0)
"""The colour difference, in each step, up to which two pixels show the same thing once drift is undone."""
_JOINED = 0.5
"""A jump of the correction between chunks by less than this, a colour difference, is noise of the measurement
and is evened out. A larger one undoes a jump of the clip."""

Map = np.ndarray
"""An affine map of RGB from 0 to 1, float64 [3, 4]: three columns for the colour and one that is added."""
_IDENTITY: Map = np.eye(3, 4)


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
            blocks.append((block.centre, _IDENTITY))
        else:
            blocks.append((block.centre, _map(block.pixels, reference.pixels)))
    assert reference is not None
    bounds = (*starts, meter.frames)
    maps = [_line(blocks, start, end) for start, end in pairwise(bounds)]
    ends = _joined(maps, reference.pixels)
    chunks = tuple(
        ChunkDrift(index, _delta_e(reference.pixels, (first + last) / 2), meter.sharpness(start, end))
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


def _map(pixels: np.ndarray, reference: np.ndarray) -> Map:
    """The map of some pixels to those of the reference, from where both show the same."""
    change, expected = _IDENTITY, _lab(reference)
    for near in _NEAR:
        difference = _lab(_apply(pixels, change)) - expected
        # Apart from the shift that most have in common, which is drift.
        same = np.linalg.norm(difference - np.median(difference, axis=0), axis=1) <= near
        if same.mean() < _SAME:
            return _IDENTITY
        change = _transfer(pixels[same], reference[same])
    return change


def _transfer(pixels: np.ndarray, reference: np.ndarray) -> Map:
    """The Monge-Kantorovich linear map from the colours of `pixels` to those of `reference`, [n, 3] each."""
    source, target = (_covariance(colours) for colours in (pixels, reference))
    root, inverse = _root(source)
    middle, _ = _root(root @ target @ root)
    matrix = inverse @ middle @ inverse
    shift = reference.mean(axis=0) - matrix @ pixels.mean(axis=0)
    return np.concatenate([matrix, shift[:, None]], axis=1)


def _covariance(colours: np.ndarray) -> np.ndarray:
    # A frame of few colours has no variance in some direction, in which the map is then the identity.
    return np.cov(colours.T.astype(np.float64)) + np.eye(3) * 1e-3


def _root(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The square root of a symmetric positive matrix, and the inverse of the root."""
    values, vectors = np.linalg.eigh(matrix)
    values = np.sqrt(np.maximum(values, 1e-12))
    return (vectors * values) @ vectors.T, (vectors / values) @ vectors.T


def _apply(pixels: np.ndarray, change: Map) -> np.ndarray:
    return np.clip(pixels @ change[:, :3].T + change[:, 3], 0, 1)


def _delta_e(pixels: np.ndarray, change: Map) -> float:
    """By how much a map changes colours on average, CIE 1976."""
    return float(np.linalg.norm(_lab(_apply(pixels, change)) - _lab(pixels), axis=1).mean())


def _lab(pixels: np.ndarray) -> np.ndarray:
    """sRGB from 0 to 1 as CIE L*a*b*, with white D65."""
    linear = np.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T
    cubic = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = cubic.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
) / np.array([[0.95047], [1.0], [1.08883]])
"""IEC 61966-2-1, divided by the white point."""


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
        changed = [_lab(_apply(reference, change)) for change in (before[1], after[0])]
        if np.linalg.norm(changed[0] - changed[1], axis=1).mean() < _JOINED:
            before[1] = after[0] = (before[1] + after[0]) / 2
    return [(first, last) for first, last in ends]
