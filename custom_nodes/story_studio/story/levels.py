"""How loud audio is, and which of its channels the model hears, measured in pieces of constant memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

MIN_SECONDS, MAX_SECONDS = 0.2, 30 * 60
"""How long a voice may be."""
SILENCE_PEAK = 10 ** (-60 / 20)
LOUD_PEAK = 2.0
"""Full scale plus 6 dB: lossy formats overshoot full scale by less."""
_LARGEST = 2.0**32
"""Beyond the full scale of 32-bit integers a sample is no sound but damage."""
_OFFSET = 0.05
"""Means below this part of the standard deviation are normal in recordings, and inaudible."""
_CANCELLED = 0.1
"""The power of a mix of channels that cancel out, as a part of what unrelated channels would give."""
_PIECE = 2**16


class Levels:
    """Statistics of audio that is added in blocks.

    The model hears the mean of all channels. Where they cancel out, as in stereo in opposite phase, or where
    the mean is silent although a channel is not, it hears the loudest channel instead.

    Attributes:
        channels: how many there are; set by the first block.
        samples: in each channel.
        damaged: samples with a value that is not a number or absurdly large, which counts as zero.
    """

    def __init__(self) -> None:
        self.channels = self.samples = self.damaged = 0
        # Of each channel, and of their mean as the last one.
        self._low = self._high = self._sum = self._squares = np.zeros(1)
        self._damage = np.zeros(1, int)

    def add(self, block: np.ndarray) -> None:
        """Adds float32 audio [channels, samples]; the number of channels must not change."""
        if not self.channels:
            self.channels = len(block)
            self._low, self._high, self._sum, self._squares = np.zeros((4, self.channels + 1))
            self._low[:], self._high[:] = np.inf, -np.inf
            self._damage = np.zeros(self.channels, int)
        for piece in _pieces(block):
            piece = np.ascontiguousarray(piece)
            good = repaired(piece)
            self.samples += piece.shape[1]
            if good is not piece:
                damage = ~(np.abs(piece) <= _LARGEST)
                self.damaged += int(damage.any(axis=0).sum())
                self._damage += damage.sum(axis=1)
            rows = np.concatenate([good, good.mean(axis=0, keepdims=True)]).astype(np.float64)
            self._low = np.minimum(self._low, rows.min(axis=1))
            self._high = np.maximum(self._high, rows.max(axis=1))
            self._sum += rows.sum(axis=1)
            self._squares += np.einsum("ij,ij->i", rows, rows)

    @property
    def is_lost(self) -> bool:
        """Whether more than half of every channel is damaged."""
        return bool(self._damage.min() * 2 > self.samples)

    @property
    def is_silent(self) -> bool:
        """Whether what the model hears never exceeds -60 dB of full scale; a constant is silence."""
        channel = self.used_channel
        return self.samples == 0 or bool(self._peaks[-1 if channel is None else channel] < SILENCE_PEAK)

    @property
    def peak(self) -> float:
        """The largest absolute value in any channel, without its offset."""
        return float(self._peaks[:-1].max()) if self.samples else 0.0

    @property
    def used_channel(self) -> int | None:
        """The channel that the model hears; None for the mean of all channels."""
        if self.channels < 2 or not self.samples:
            return None
        powers, peaks = self._powers, self._peaks
        loudest = int(powers[:-1].argmax())
        unrelated = powers[:-1].sum() / self.channels**2
        vanishes = peaks[-1] < SILENCE_PEAK <= peaks[loudest]
        return loudest if vanishes or powers[-1] < _CANCELLED * unrelated else None

    def mono(self, block: np.ndarray) -> np.ndarray:
        """What the model hears of a block [channels, samples], without a constant offset: [samples]."""
        channel = block.mean(axis=0) if self.used_channel is None else block[self.used_channel]
        return channel - np.float32(self.channel_offset) if self.channel_offset else channel

    @property
    def offsets(self) -> np.ndarray:
        """The constant offset of each channel [channels]; 0 where it is too small to matter."""
        return self._offsets[:-1]

    @property
    def channel_offset(self) -> float:
        """The constant offset of what the model hears; 0 if it is too small to matter."""
        return float(self._offsets[-1 if self.used_channel is None else self.used_channel])

    @property
    def _means(self) -> np.ndarray:
        return self._sum / max(1, self.samples)

    @property
    def _powers(self) -> np.ndarray:
        return np.maximum(self._squares / max(1, self.samples) - self._means**2, 0)

    @property
    def _offsets(self) -> np.ndarray:
        return np.where(np.abs(self._means) > _OFFSET * np.sqrt(self._powers), self._means, 0)

    @property
    def _peaks(self) -> np.ndarray:
        return np.maximum(self._high - self._offsets, self._offsets - self._low)


def measure(waveform: np.ndarray) -> Levels:
    """The levels of float32 audio [channels, samples]."""
    levels = Levels()
    levels.add(waveform)
    return levels


def peak_of(block: np.ndarray) -> float:
    """The largest absolute value of an array."""
    return max(float(block.max(initial=0)), -float(block.min(initial=0)))


def repaired(block: np.ndarray) -> np.ndarray:
    """Audio [channels, samples] with zeros for damaged values; the array itself if there are none."""
    if block.size == 0 or (block.max() <= _LARGEST and block.min() >= -_LARGEST):
        return block
    return np.where(np.abs(block) <= _LARGEST, block, np.zeros((), block.dtype))


def repair(waveform: np.ndarray) -> None:
    """Replaces damaged values of audio [channels, samples] by zeros, in place."""
    for piece in _pieces(waveform):
        piece[:] = repaired(piece)


def _pieces(waveform: np.ndarray) -> Iterator[np.ndarray]:
    return (waveform[:, start : start + _PIECE] for start in range(0, waveform.shape[1], _PIECE))
