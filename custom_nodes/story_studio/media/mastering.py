"""Bringing a whole film to a loudness, with its peaks below a ceiling, measured again afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from .audio_track import AudioTrack, write
from .limiter import Limiter
from .loudness import Loudness, Meter
from .probe import Progress

_CEILING = -2.0
"""dBTP before the film is encoded. AAC adds up to 1 dB, and the film is to stay below -1 dBTP."""
_FULL_SCALE = 0.0
"""dBTP to which a mix is limited whose loudness is as recorded."""
_TOLERANCE = 0.1
"""LU by which the loudness may miss its target."""
_PASSES = 4
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
    before = measured(track, lambda done: progress(done / 2), peaks=True)
    if before.true_peak is None or before.true_peak <= _FULL_SCALE:
        return Mastered(track, before, "as recorded")
    after = _limited(track, Limiter(0.0, _FULL_SCALE), path, lambda done: progress(0.5 + done / 2))
    return Mastered(AudioTrack(path), after, "dynamic")


def master(track: AudioTrack, target: float, lift: float, path: Path, progress: Progress) -> Mastered:
    """Brings a track to a target in LUFS and below -2 dBTP, in `path`.

    It is raised by at most `lift` dB. Where the peaks leave no room, they are limited, and the gain is
    corrected by what that took, until the target is met or 6 dB have been added.
    """
    loudness = measured(track, lambda done: progress(done / (1 + _PASSES))).integrated
    wanted = 0.0 if loudness is None else min(target - loudness, lift)
    gain, slope = wanted, 1.0
    for number in range(1, 1 + _PASSES):
        limiter = Limiter(gain, _CEILING)
        after = _limited(track, limiter, path, _part(progress, number / (1 + _PASSES)))
        missing = 0.0 if loudness is None else loudness + wanted - (after.integrated or loudness)
        more = min(gain + missing / slope, wanted + _MOST_DRIVE) - gain
        if not limiter.reduction or abs(missing) <= _TOLERANCE or abs(more) <= _TOLERANCE / 2:
            break
        # What a dB adds, estimated from what limiting took of the gain so far.
        slope = max(slope * 0.8, _LEAST_SLOPE)
        gain += more
    return Mastered(AudioTrack(path), after, "dynamic" if limiter.reduction else "linear")


def _part(progress: Progress, start: float) -> Progress:
    return lambda done: progress(start + done / (1 + _PASSES))


def measured(track: AudioTrack, progress: Progress, peaks: bool = False) -> Loudness:
    """The loudness of a track."""
    with Meter(peaks) as meter:
        for start, end in track.blocks():
            meter.add(track.read(start, end))
            progress(end / track.samples)
        return meter.result()


def _limited(track: AudioTrack, limiter: Limiter, path: Path, progress: Progress) -> Loudness:
    """Writes a track limited; returns its loudness."""
    with Meter(peaks=True) as meter:
        write(path, _metered(track, limiter, meter, progress))
        return meter.result()


def _metered(track: AudioTrack, limiter: Limiter, meter: Meter, progress: Progress) -> Iterator[np.ndarray]:
    done = 0
    for block in limiter.limit(track):
        meter.add(block)
        yield block
        done += block.shape[1]
        progress(done / track.samples)
