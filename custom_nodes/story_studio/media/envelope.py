"""Fades of audio in and out, in blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .encoder import SAMPLE_RATE

JOINT_FADE = round(0.004 * SAMPLE_RATE)
"""Samples over which audio fades at a joint, against clicks."""


class Envelope(NamedTuple):
    """Gains at the beginning and, in reverse, at the end of `length` samples."""

    length: int
    attack: np.ndarray
    release: np.ndarray

    @classmethod
    def linear(cls, length: int, attack: int, release: int) -> Envelope:
        """One that rises over `attack` samples and falls over `release`."""
        rise, fall = ((np.arange(n, dtype=np.float32) + 0.5) / max(1, n) for n in (attack, release))
        return cls(length, rise, fall)

    def applied(self, block: np.ndarray, start: int) -> np.ndarray:
        """Applies it in place to a block, float [channels, n], that begins at sample `start`; returns it."""
        end = start + block.shape[1]
        if start < len(self.attack):
            part = self.attack[start:end]
            block[:, : len(part)] *= part
        first = self.length - len(self.release)
        if end > first:
            at = max(start, first)
            block[:, at - start :] *= self.release[::-1][at - first : end - first]
        return block
