"""Audio that is handed out along with the frames of a video: block by block, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ..story.levels import peak_of
from .encoder import pad_or_cut


class AudioFeed:
    """Hands out audio in pieces of any length, and silence after its end.

    Args:
        blocks: the audio, float32 [channels, n] each.
        channels: of the audio.
        skip: samples at its beginning that are left out.
        gain: what all samples are multiplied by.
    """

    def __init__(self, blocks: Iterable[np.ndarray], channels: int, skip: int = 0, gain: float = 1.0) -> None:
        self._blocks: Iterator[np.ndarray] = iter(blocks)
        self._pending = np.zeros((channels, 0), np.float32)
        self._skip, self._gain = skip, np.float32(gain)

    def next(self, samples: int) -> np.ndarray:
        """The next samples, float32 [channels, samples]."""
        while self._pending.shape[1] < samples and (part := next(self._blocks, None)) is not None:
            kept, self._skip = part[:, self._skip :], max(0, self._skip - part.shape[1])
            self._pending = np.concatenate([self._pending, kept], axis=1)
        block, self._pending = pad_or_cut(self._pending, samples), self._pending[:, samples:]
        return block if self._gain == 1 else block * self._gain


def full_scale_gain(blocks: Iterable[np.ndarray]) -> float:
    """The gain, at most 1, that lowers audio to full scale where it exceeds it."""
    return 1 / max(1.0, max((peak_of(block) for block in blocks), default=0.0))
