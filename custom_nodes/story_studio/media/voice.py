"""The audio of one shot in a film's sound, measured and read in blocks: its length takes no memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..signal.loudness import Meter
from ..signal.voice_levels import is_voice, moments
from ..story.levels import Levels, repaired
from .audio_track import BLOCK
from .encoder import SAMPLE_RATE

Read = Callable[[int, int], np.ndarray]
"""Returns samples from the first number to before the second, float32 [2, n] at 48 kHz; fewer at the end."""


@dataclass(frozen=True)
class Voice:
    """The audio of one shot.

    Attributes:
        start: sample of the film at which it starts.
        samples: its span in the film, at 48 kHz; longer audio is cut, shorter audio is followed by silence.
        read: returns part of it, counted from its own first sample.
        music: whether the bed plays under it.
        is_ambient: whether it is what a camera heard, and nobody's voice: it is never raised, and the music
            is not lowered for it.
    """

    start: int
    samples: int
    read: Read
    music: bool = True
    is_ambient: bool = False


@dataclass(frozen=True)
class Examined:
    """What was measured of a voice.

    Attributes:
        samples: how many it has, within its span.
        loudness: in LUFS; None if it is silent.
        offsets: a constant in each channel, which is not sound, float32 [2, 1].
        is_voice: whether it is more than silence, noise, or the shortest of sounds.
    """

    samples: int
    loudness: float | None
    offsets: np.ndarray
    is_voice: bool

    def levelled(self, voice: Voice, gain: float | None) -> Read:
        """The voice with a gain in dB, without its offset, which would take from the headroom.

        With None it is read as it is.
        """
        if gain is None:
            return lambda start, end: repaired(voice.read(start, end))
        factor = np.float32(10 ** (gain / 20))
        return lambda start, end: (repaired(voice.read(start, end)) - self.offsets) * factor


def examine(voice: Voice) -> Examined:
    """Measures a voice."""
    loud, levels, samples = [np.zeros(0)], Levels(), 0
    with Meter() as meter:
        for at, block in blocks(lambda start, end: repaired(voice.read(start, end)), voice.samples):
            meter.add(block)
            levels.add(block)
            loud.append(moments(block, SAMPLE_RATE))
            samples = at + block.shape[1]
        loudness = meter.result().integrated
    offsets = levels.offsets if samples else np.zeros(2)
    found = is_voice(np.concatenate(loud), loudness)
    return Examined(samples, loudness, offsets.astype(np.float32)[:, None], found)


def blocks(read: Read, samples: int) -> Iterator[tuple[int, np.ndarray]]:
    """Consecutive blocks and their first samples, until there are no more."""
    at = 0
    while at < samples and (block := read(at, min(at + BLOCK, samples))).shape[1]:
        yield at, block
        at += block.shape[1]


def audible(read: Read, samples: int, threshold: float) -> tuple[int, int] | None:
    """The first sample louder than `threshold`, 0 to 1, and the one after the last; None without any."""
    first = last = None
    for at, block in blocks(read, samples):
        loud = np.flatnonzero(np.maximum(*np.abs(block)) > threshold)
        if loud.size:
            first = at + int(loud[0]) if first is None else first
            last = at + int(loud[-1]) + 1
    return None if first is None or last is None else (first, last)
