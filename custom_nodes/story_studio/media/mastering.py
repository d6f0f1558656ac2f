"""Bringing a whole film to a loudness, with its peaks below a ceiling, measured again afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..signal.loudness import Loudness, Meter
from ..story.levels import peak_of
from .audio_track import BLOCK, AudioTrack, write
from .encoded import encoded_peak
from .limiter import Limiter
from .progress import Progress, part_of

_HIGHEST_PEAK = -1.0
"""dBTP of the finished film, after it was encoded."""
_CEILING = -1.5
"""dBTP before. AAC adds 0.1 to 0.3 dB to speech, but up to 3 dB to bursts of noise: it is measured."""
_NEVER_TOO_HIGH = -5.0
"""dBTP before, from which no encoding leads above the highest."""
_FULL_SCALE = 0.0
"""dBTP to which a mix is limited whose loudness is as recorded."""
_TOLERANCE = 0.1
"""LU by which the loudness may miss its target."""
_PASSES, _CORRECTIONS = 6, 3
"""How often a film is limited, at most, and in how many of the first of them its gain may still change."""
_MOST_DRIVE = 6.0
"""dB that are added, at most, for what limiting takes. With more, speech would be audibly distorted."""
_LEAST_SLOPE = 0.4
"""LU that a limited film gains with a dB, as the estimate of the next pass, at least."""


@dataclass(frozen=True)
class Mastered:
    """A finished track.

    Attributes:
        track: where it is.
        loudness: measured of it.
        mode: see `sound.SoundReport`.
    """

    track: AudioTrack
    loudness: Loudness
    mode: Literal["linear", "dynamic", "as recorded"]


def protect(track: AudioTrack, path: Path, progress: Progress) -> Mastered:
    """Limits what exceeds full scale, as a mix can; without such peaks the track stays as it is."""
    before = measured(track, part_of(progress, 0, 0.5), peaks=True)
    if before.true_peak is None or before.true_peak <= _FULL_SCALE:
        return Mastered(track, before, "as recorded")
    limited = _limited(track, Limiter(0.0, _FULL_SCALE), path, part_of(progress, 0.5, 1))
    return Mastered(limited.track, limited.loudness, "dynamic")


def master(track: AudioTrack, target: float, lift: float, path: Path, progress: Progress) -> Mastered:
    """Brings a track to a target in LUFS and its peaks below -1 dBTP after encoding, in `path`.

    It is raised by at most `lift` dB. Where the peaks leave no room, they are limited, and the gain is
    corrected by what that took, until the target is met or 6 dB have been added.
    """
    loudness = measured(track, _pass(progress, 0)).integrated
    wanted = 0.0 if loudness is None else min(target - loudness, lift)
    gain, ceiling, slope = wanted, _CEILING, 1.0
    for number in range(1, 1 + _PASSES):
        limited = _limited(track, Limiter(gain, ceiling), path, _pass(progress, number))
        reached = limited.loudness.integrated
        missing = 0.0 if loudness is None or reached is None else loudness + wanted - reached
        more = min(missing / slope, wanted + _MOST_DRIVE - gain) if limited.is_dynamic else 0.0
        if number <= _CORRECTIONS and abs(missing) > _TOLERANCE and abs(more) > _TOLERANCE / 2:
            # What a dB adds, estimated from what limiting took of the gain so far.
            slope = max(slope * 0.8, _LEAST_SLOPE)
            gain += more
        elif (excess := limited.highest_peak() - _HIGHEST_PEAK) > 0:
            ceiling -= excess + _TOLERANCE
        else:
            break
    return Mastered(limited.track, limited.loudness, "dynamic" if limited.is_dynamic else "linear")


def _pass(progress: Progress, number: int) -> Progress:
    return part_of(progress, number / (1 + _PASSES), (number + 1) / (1 + _PASSES))


def measured(track: AudioTrack, progress: Progress, peaks: bool = False) -> Loudness:
    """The loudness of a track."""
    with Meter(peaks) as meter:
        for start, end in track.blocks():
            meter.add(track.read(start, end))
            progress(end / track.samples)
        return meter.result()


@dataclass(frozen=True)
class _Limited:
    """A track after a limiter: its loudness, the peak of each block, whether any was lowered."""

    track: AudioTrack
    loudness: Loudness
    peaks: list[float]
    is_dynamic: bool

    def highest_peak(self) -> float:
        """dBTP, also after encoding where that can matter."""
        if self.loudness.true_peak is None or self.loudness.true_peak < _NEVER_TOO_HIGH:
            return _NEVER_TOO_HIGH
        return max(self.loudness.true_peak, encoded_peak(self.track, self.peaks))


def _limited(track: AudioTrack, limiter: Limiter, path: Path, progress: Progress) -> _Limited:
    peaks: list[float] = []

    def blocks() -> Iterator[np.ndarray]:
        for block in limiter.limit(track):
            meter.add(block)
            peaks.append(peak_of(block))
            yield block
            progress(len(peaks) * BLOCK / max(track.samples, len(peaks) * BLOCK))

    with Meter(peaks=True) as meter:
        written = write(path, blocks())
        return _Limited(written, meter.result(), peaks, limiter.reduction > 0)
