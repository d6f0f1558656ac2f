"""A true-peak limiter without delay, for audio that can be read ahead of what is written."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import soxr
from scipy.ndimage import minimum_filter1d

from ..story.levels import peak_of
from .audio_track import AudioTrack
from .encoder import SAMPLE_RATE

_REACH = round(0.005 * SAMPLE_RATE)
"""Samples before and after a peak over which the gain falls and rises."""
_CONTEXT = 2 * _REACH + 512
"""Samples around a block that its gain depends on: the reach twice, and the interpolation's filter."""
_OVERSAMPLING = 4
"""Times, as in ITU-R BS.1770-4, annex 2."""
_BETWEEN = 0.5
"""Between samples, audio can be louder than they are, hardly ever by more than 6 dB."""


class Limiter:
    """Lowers audio around each peak that exceeds a ceiling; the rest keeps its samples.

    Both channels have the same gain: the lowest that any peak within 5 ms requires, smoothed over as much by
    a Hann window, which cannot exceed it at the peak itself. ffmpeg's `alimiter` looks at samples, not
    between them, so that it would have to run at 192 kHz, and resampling there and back changes all samples.

    Attributes:
        reduction: the most that the gain was lowered so far, in dB.
    """

    def __init__(self, gain: float, ceiling: float) -> None:
        """`gain` in dB comes first; `ceiling` is in dBTP."""
        self.reduction = 0.0
        self._gain = np.float32(10 ** (gain / 20))
        self._ceiling = 10 ** (ceiling / 20)

    def limit(self, track: AudioTrack) -> Iterator[np.ndarray]:
        """The limited audio in consecutive blocks, float32 [2, n]."""
        for start, end in track.blocks():
            audio = track.read(start - _CONTEXT, end + _CONTEXT) * self._gain
            block = audio[:, _CONTEXT:-_CONTEXT]
            if peak_of(audio) > self._ceiling * _BETWEEN:
                gain = self._smoothed(_peaks(audio))[_CONTEXT:-_CONTEXT]
                self.reduction = max(self.reduction, -20 * float(np.log10(gain.min())))
                block = block * gain.astype(np.float32)
            yield block

    def _smoothed(self, peaks: np.ndarray) -> np.ndarray:
        required = self._ceiling / np.maximum(peaks, self._ceiling)
        if required.min() == 1:
            return required
        lowest = minimum_filter1d(required, 2 * _REACH + 1, mode="nearest")
        window = np.hanning(2 * _REACH + 3)[1:-1]
        smoothed = np.convolve(np.pad(lowest, _REACH, mode="edge"), window / window.sum(), mode="valid")
        # Where nothing is lowered, rounding must not change the samples.
        return np.where(minimum_filter1d(lowest, 2 * _REACH + 1, mode="nearest") == 1, 1.0, smoothed)


def _peaks(audio: np.ndarray) -> np.ndarray:
    """The largest absolute value at and around each sample of float32 [2, n]: [n]."""
    dense = soxr.resample(audio.T, SAMPLE_RATE, SAMPLE_RATE * _OVERSAMPLING, quality="HQ")
    # One row for the time from each sample to the next, and one before the first.
    rows = np.pad(_louder(dense.T), (_OVERSAMPLING, _OVERSAMPLING))[: (audio.shape[1] + 1) * _OVERSAMPLING]
    between = np.maximum.reduce([rows[first::_OVERSAMPLING] for first in range(_OVERSAMPLING)])
    return np.maximum.reduce([between[:-1], between[1:], _louder(audio)])


def _louder(audio: np.ndarray) -> np.ndarray:
    # A maximum over the axis would take ten times as long.
    return np.maximum(np.abs(audio[0]), np.abs(audio[1]))
