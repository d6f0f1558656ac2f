"""The sound of an empty room, for where nobody speaks: noise that is coloured like a recording's quiet parts.

Noise has no loop that could be noticed, and no breath or syllable can be left in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..signal.voice_levels import level
from .audio_track import AudioTrack
from .encoder import SAMPLE_RATE
from .envelope import JOINT_FADE

_SOFT_FADE = round(0.25 * SAMPLE_RATE)
_FRAME = 4096
_HOP = _FRAME // 2
_AT_A_TIME = 64 * _FRAME
_WINDOW = np.sin(np.pi * (np.arange(_FRAME) + 0.5) / _FRAME)
"""Frames of noise that overlap by half have the same power everywhere with it."""
_HZ = np.fft.rfftfreq(_FRAME, 1 / SAMPLE_RATE)
_LOWEST, _HIGHEST, _SOFT = -66.0, -40.0, -60.0
"""dBFS, RMS: the softest and the loudest tone of a recording, and the tone where no recording has one."""
_BELOW_SPEECH = 15.0
"""dB by which a room is quieter than who speaks in it."""
_QUIET_PART = 0.1
_FEWEST = 4
"""Quiet frames whose average is a colour; of fewer it is that of what happened in them."""
_MOST = 256
"""Quiet frames that are looked at: more do not change their average."""
_NOTHING = -80.0
"""dBFS, RMS. Below, a quiet part is the digital silence of an editor or of a synthetic voice."""


@dataclass(frozen=True, eq=False)
class RoomTone:
    """The colour and level of a tone.

    Attributes:
        mix: complex128 [frequencies, 2, 2]: what white noise of two channels is multiplied by. Its square is
            the covariance of the channels, so that a mono recording has a mono tone.
    """

    mix: np.ndarray

    def blocks(self, seed: int) -> Iterator[np.ndarray]:
        """Endless noise in blocks, float32 [2, n]; the same for the same seed."""
        random = np.random.default_rng(seed)
        rest = self._frame(random)[:, _HOP:]
        while True:
            frame = self._frame(random)
            yield (rest + frame[:, :_HOP]).astype(np.float32)
            rest = frame[:, _HOP:]

    def _frame(self, random: np.random.Generator) -> np.ndarray:
        real, imaginary = random.standard_normal((2, len(_HZ), 2, 1))
        spectrum = (self.mix @ (real + 1j * imaginary))[:, :, 0].T
        return np.fft.irfft(spectrum, _FRAME) * _WINDOW


def tone_of(read: Callable[[int, int], np.ndarray], first: int, last: int) -> RoomTone:
    """The tone of a voice's quiet parts; soft noise if it has none.

    It is as loud as they are, but not below -66 and not above -40 dBFS RMS.

    Args:
        read: returns the voice from one sample to before another, float32 [2, n].
        first, last: where it is heard.
    """
    reads = (read(at, min(at + _AT_A_TIME, last)) for at in range(first, last, _AT_A_TIME))
    levels = np.concatenate([np.zeros(0), *(level(audio, _FRAME) for audio in reads)])
    if not len(levels):
        return SOFT
    quiet = np.sort(np.argsort(levels, kind="stable")[: max(_FEWEST, round(len(levels) * _QUIET_PART))])
    floor, speech = levels[quiet].max(), np.percentile(levels, 95)
    if len(levels) <= _FEWEST or levels[quiet].min() < _NOTHING or speech - floor < _BELOW_SPEECH:
        return SOFT
    chosen = quiet[:: -(-len(quiet) // _MOST)]
    frames = np.stack([read(at, at + _FRAME) for at in (first + chosen * _FRAME).tolist()]).astype(np.float64)
    spectra = np.fft.rfft(frames * _WINDOW, axis=2)
    covariance = np.einsum("fci,fdi->icd", spectra, spectra.conj()) / len(chosen)
    # What is constant or below hearing is no sound, but uses up the range.
    covariance[_HZ < 20] = 0
    return _scaled(_root(covariance))


def fill(track: AudioTrack, start: int, end: int, before: RoomTone, after: RoomTone, number: int) -> None:
    """Adds room tone to a gap in the film, which changes from one tone to the other.

    A tone of a recording takes over within the fade of its end, so that the room does not stop. Soft noise,
    and the ends of the film, rise and fall within the gap.

    Args:
        track: the film.
        start, end: where the voice before has ended and the next one starts.
        before, after: their tones.
        number: of the gap; each has a noise of its own.
    """
    rise, first = _edge(before, start, start == 0, end - start)
    fall, beyond = _edge(after, end, end == track.samples, end - start)
    last = 2 * end - beyond
    streams = [tone.blocks(2 * number + i) for i, tone in enumerate(dict.fromkeys((before, after)))]
    at = first
    while at < last:
        blocks = [next(stream)[:, : last - at] for stream in streams]
        position = np.arange(at, at + blocks[0].shape[1]) + 0.5
        change = np.clip((position - start) / max(1, end - start), 0, 1) * (np.pi / 2)
        block = blocks[0] if len(blocks) == 1 else blocks[0] * np.cos(change) + blocks[1] * np.sin(change)
        level = np.minimum((position - first) / max(1, rise), (last - position) / max(1, fall))
        track.add(at, block * np.sin(np.clip(level, 0, 1) * (np.pi / 2)))
        at += len(position)


def _edge(tone: RoomTone, at: int, is_end_of_film: bool, gap: int) -> tuple[int, int]:
    """Over how many samples a tone rises at an edge of a gap, and from which sample on."""
    if tone is SOFT or is_end_of_film:
        return min(_SOFT_FADE, gap // 2), at
    return JOINT_FADE, at - JOINT_FADE


def _root(covariance: np.ndarray) -> np.ndarray:
    """The square root of each Hermitian matrix of [frequencies, 2, 2]."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))[:, None]) @ vectors.conj().transpose(0, 2, 1)


def _rms(mix: np.ndarray) -> float:
    """dBFS of the noise, of both channels together."""
    # Each bin stands for its mirror image too, its noise has a power of 2, and there are two channels.
    power = 2 * 2 * np.square(np.abs(mix)).sum() / _FRAME**2 / 2
    return 10 * float(np.log10(power + 1e-20))


def _scaled(mix: np.ndarray, level: float | None = None) -> RoomTone:
    """A tone at a level in dBFS; by default at its own, within bounds."""
    own = _rms(mix)
    level = min(max(own, _LOWEST), _HIGHEST) if level is None else level
    return RoomTone(mix * 10 ** ((level - own) / 20))


def _soft() -> RoomTone:
    """Air: falls by 6 dB an octave above 200 Hz, without rumble, a little different in both ears."""
    power = (_HZ / 60) ** 2 / (1 + (_HZ / 60) ** 2) / (1 + (_HZ / 200) ** 2)
    channels = np.array([[1, 0.7], [0.7, 1]])
    return _scaled(_root(power[:, None, None] * channels.astype(complex)), _SOFT)


SOFT = _soft()
