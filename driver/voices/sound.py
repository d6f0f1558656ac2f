"""The sound of a spoken text: sentences joined with pauses, at an even level, as a WAV file."""

from __future__ import annotations

import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from story_studio.signal.voice_levels import SILENCE, level

from ..files import written_aside

SENTENCE_PAUSE, PARAGRAPH_PAUSE, PART_PAUSE = 0.35, 0.75, 0.1
"""Seconds between sentences, between paragraphs, and where a sentence was too long."""
EDGE = 0.1
"""Seconds of silence that stay before and after the voice."""
_FRAME = 0.01
_SILENT_DB = -55.0
"""What is quieter than the loudest frame by this is silence; breath and final consonants are above."""
_SPOKEN_DB = 20 * float(np.log10(0.03))
"""What is quieter than the loudest frame by this is not counted to how loud a voice is."""
_LEVEL = 10 ** (-23 / 20)
"""Root mean square of the frames in which somebody speaks, of full scale: about -23 LUFS."""
_PEAK = 10 ** (-2 / 20)
Samples = np.ndarray


def silence(seconds: float, rate: int) -> Samples:
    """Silence of this length, float32."""
    return np.zeros(round(seconds * rate), np.float32)


def tone(seconds: float, rate: int) -> Samples:
    """A quiet tone of 200 Hz, float32: what is silent is refused as a voice."""
    return (0.05 * np.sin(2 * np.pi * 200 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def trimmed(samples: Samples, rate: int) -> Samples:
    """A sentence, float32 [samples], without the silence around it; empty if it is all silence."""
    step = round(_FRAME * rate)
    levels = _levels(samples, step)
    loud = np.flatnonzero(levels > max(_SILENT_DB + levels.max(initial=SILENCE), SILENCE))
    if not len(loud):
        return samples[:0]
    return samples[max(0, loud[0] - 1) * step : (loud[-1] + 2) * step]


def levelled(samples: Samples, rate: int) -> Samples:
    """Samples at the level of all voices, or a little below it where they would be too loud at one place."""
    levels = _levels(samples, round(_FRAME * rate))
    spoken = levels[levels > _SPOKEN_DB + levels.max()]
    rms, peak = float(np.sqrt(np.mean(10 ** (spoken / 10)))), float(np.abs(samples).max())
    return samples * np.float32(min(_LEVEL / rms, _PEAK / peak))


def write_wav(path: Path, parts: Iterable[Samples], rate: int) -> None:
    """Writes parts, float32, in order as a 16-bit mono WAV, whole or not at all. Raises OSError."""
    with written_aside(path) as aside, wave.open(str(aside), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        for samples in parts:
            whole = np.rint(samples * 2**15).clip(-(2**15), 2**15 - 1)
            file.writeframesraw(whole.astype("<i2").tobytes())


def _levels(samples: Samples, step: int) -> np.ndarray:
    """The level of each frame, in dB; the last is filled up with silence."""
    return level(np.pad(samples, (0, -len(samples) % step)), step)
