"""A part of a recording as a file of its own."""

from __future__ import annotations

import hashlib
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..files import written_aside
from ..signal.audio_decoder import Findings, decode
from ..story.levels import MAX_SECONDS, repaired

_MOST_CHANNELS = 2
"""Audio with more channels becomes mono."""
_MARK, _LONGEST = "-part-", 60
"""What follows the recording's name, and the most letters of that name."""


def cut_audio(source: Path, start: float, end: float, folder: Path) -> Path:
    """Writes the part of a recording between two seconds as a 16-bit WAV; the recording stays as it is.

    The same part has the same name: that of the recording, and a part that follows from the samples.

    Raises:
        ValueError: there is nothing between these seconds, it is too long, or the sample rate changes.
        Exception: whatever a decoder raises.
    """
    if end - start > MAX_SECONDS:
        raise ValueError("The part is longer than 30 min: choose a shorter one.")
    parts, rate = _part(source, start, end)
    if not parts:
        raise ValueError(f"There is no sound between {start:.2f} and {end:.2f} s: move the handles.")
    data = np.concatenate([_as_integers(part) for part in parts])
    digest = hashlib.sha256(f"{rate} {data.shape[1]} ".encode() + data.tobytes()).hexdigest()
    name = source.stem.split(_MARK)[0][:_LONGEST]
    path = folder / f"{name}{_MARK}{digest[:12]}.wav"
    with written_aside(path) as aside, wave.open(str(aside), "wb") as file:
        file.setparams((data.shape[1], 2, rate, 0, "NONE", ""))
        file.writeframes(data.tobytes())
    return path


def _part(source: Path, start: float, end: float) -> tuple[list[np.ndarray], int]:
    parts: list[np.ndarray] = []
    rate = channels = 0
    for position, samples, block_rate in _positioned(source):
        rate, channels = rate or block_rate, channels or len(samples)
        if block_rate != rate:
            raise ValueError("The recording changes its sample rate: export it again as WAV.")
        first, last = (round(second * rate) - position for second in (start, end))
        if last <= 0:
            break
        kept = samples[:, max(0, first) : last]
        is_mono = channels > _MOST_CHANNELS or len(samples) != channels
        if kept.shape[1]:
            parts.append(kept.mean(axis=0, keepdims=True) if is_mono else kept)
    # A recording whose channels change is mono as a whole.
    if len({len(part) for part in parts}) > 1:
        parts = [part.mean(axis=0, keepdims=True) for part in parts]
    return parts, rate


def _positioned(source: Path) -> Iterator[tuple[int, np.ndarray, int]]:
    position = 0
    for block in decode(source, Findings()):
        yield position, repaired(block.samples), block.rate
        position += block.samples.shape[1]


def _as_integers(samples: np.ndarray) -> np.ndarray:
    """16-bit samples [n, channels]."""
    return np.ascontiguousarray(np.rint(samples.T * 2**15).clip(-(2**15), 2**15 - 1).astype("<i2"))
