"""Audio of any length on disk: raw float32, little-endian, interleaved stereo at 48 kHz."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .encoder import SAMPLE_RATE

BLOCK = SAMPLE_RATE
"""Samples that are worked on at a time."""
_TYPE = np.dtype("<f4")
_FRAME_BYTES = 2 * _TYPE.itemsize


class AudioTrack:
    """The audio in a file.

    Attributes:
        path: the file.
        samples: in each channel.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.samples = path.stat().st_size // _FRAME_BYTES

    @classmethod
    def silent(cls, path: Path, samples: int) -> AudioTrack:
        """A new file of digital silence; where the file system can, it takes no space yet."""
        with path.open("wb") as file:
            file.truncate(samples * _FRAME_BYTES)
        return cls(path)

    def read(self, start: int, end: int) -> np.ndarray:
        """Samples `start` to `end`: float32 [2, end - start], silent before and after the audio."""
        first, last = (min(max(at, 0), self.samples) for at in (start, end))
        found = np.fromfile(self.path, _TYPE, 2 * (last - first), offset=first * _FRAME_BYTES)
        block = np.ascontiguousarray(found.reshape(-1, 2).T, np.float32)
        if block.shape[1] == end - start:
            return block
        before = min(max(-start, 0), end - start)
        return np.pad(block, ((0, 0), (before, end - start - before - block.shape[1])))

    def mapped(self, start: int, end: int) -> np.ndarray:
        """Samples `start` to `end`, within the audio: float32 [2, end - start], read when they are used."""
        whole = np.memmap(self.path, _TYPE, "r", shape=(self.samples, 2))
        return whole[start:end].T

    def add(self, start: int, block: np.ndarray) -> None:
        """Mixes float [2, n] into the file from sample `start` on; what is outside the audio is left out."""
        block = block[:, max(-start, 0) : max(self.samples - start, 0)]
        start = max(start, 0)
        mixed = self.read(start, start + block.shape[1]) + block
        with self.path.open("rb+") as file:
            file.seek(start * _FRAME_BYTES)
            file.write(_bytes(mixed))

    def blocks(self) -> Iterator[tuple[int, int]]:
        """`(start, end)` of consecutive blocks that cover the audio."""
        for start in range(0, self.samples, BLOCK):
            yield start, min(start + BLOCK, self.samples)


def write(path: Path, blocks: Iterator[np.ndarray]) -> AudioTrack:
    """Writes blocks, float [2, n], one after the other."""
    with path.open("wb") as file:
        for block in blocks:
            file.write(_bytes(block))
    return AudioTrack(path)


def _bytes(block: np.ndarray) -> bytes:
    return np.ascontiguousarray(block.T, _TYPE).tobytes()
