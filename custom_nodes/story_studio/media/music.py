"""A music bed: looped to the length of a film, at a level relative to the voices, and ducked under them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.filter import Graph

from ..signal.loudness import Meter, audio_frame, audio_input
from ..story import levels
from .audio_track import AudioTrack, write
from .encoder import SAMPLE_RATE, resample_in_parts

SHORTEST = SAMPLE_RATE
"""Samples. Less, repeated, would be a buzz."""
_LOOP_FADE = SAMPLE_RATE
"""Samples over which the end of the music is blended with its start, at most; a quarter of short music."""
_AUDIBLE = 10 ** (-60 / 20)
"""Of its peak. Music is looped without what is softer at its start and end."""
_OFF_FADE = SAMPLE_RATE // 2
"""Samples over which the bed fades before and after voices that are to be heard without it."""
_INTERLUDE = 4 * SAMPLE_RATE
"""Between two voices without music, the bed returns only for longer than this."""
_AHEAD = round(0.08 * SAMPLE_RATE)
"""Samples by which the bed is ducked before a voice starts, so that its first syllable is clear."""
_DUCKING = {"threshold": "0.025", "ratio": "2.5", "attack": "30", "release": "400", "knee": "4"}
"""The threshold, -32 dBFS, is 16 dB below voices at -16 LUFS, to which the side chain is brought."""
_SIDE_CHAIN = -16.0
_LEVELS = 0.015625, 64.0
"""What `sidechaincompress` can multiply a side chain by."""

Span = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Music:
    """A piece of music and how it is used.

    Attributes:
        waveform: float32 [channels, samples].
        sample_rate: in Hz.
        level: its loudness where nobody speaks, in dB relative to the voices.
        fade_seconds: of the fades at the start and the end of the film, each over at most half of it.
        duck: whether it is lowered while somebody speaks, by 9 to 12 dB.
    """

    waveform: np.ndarray
    sample_rate: int
    level: float = -18.0
    fade_seconds: float = 2.0
    duck: bool = True

    def parts(self) -> list[object]:
        """What a key holds of it."""
        content = hashlib.sha256(np.ascontiguousarray(self.waveform, "<f4").tobytes())
        return [
            content.hexdigest(),
            list(self.waveform.shape),
            self.sample_rate,
            self.level,
            self.fade_seconds,
            self.duck,
        ]


def checked(waveform: np.ndarray, sample_rate: int) -> tuple[np.ndarray, list[str]]:
    """Validates music, float32 [pieces, channels, samples].

    Returns:
        float32 [channels, samples] of the first piece, and what the user should know, a sentence each.

    Raises:
        ValueError: it is shorter than a second, or most of its samples are damaged.
    """
    seconds = waveform.shape[-1] / sample_rate if waveform.size and sample_rate > 0 else 0.0
    if seconds * SAMPLE_RATE < SHORTEST:
        raise ValueError(f"The music lasts {seconds:.3f} s: link at least a second of it.")
    measured, warnings = levels.measure(waveform[0]), []
    if measured.is_lost:
        raise ValueError("Most samples of the music are not numbers: export it again as WAV or MP3.")
    if len(waveform) > 1:
        warnings.append(f"Only the first of {len(waveform)} pieces of music is used.")
    if measured.peak < levels.SILENCE_PEAK:
        warnings.append("The music is silent: check that it is the right file.")
    if measured.damaged:
        warnings.append(
            f"{measured.damaged / sample_rate:.3f} s of the music are not numbers and were replaced by "
            "silence: export it again."
        )
    return levels.repaired(waveform[0]), warnings


class Bed:
    """Music that is long enough for any film.

    Attributes:
        is_silent: whether there is nothing to hear, or less than a second of it.
    """

    def __init__(self, music: Music, path: Path, loudness: float) -> None:
        """Writes the music at 48 kHz to `path`, to be read at `loudness`, in LUFS."""
        self._track = write(path, _stereo(music))
        first, last, measured = _examined(self._track)
        self.is_silent = measured is None or last - first < SHORTEST
        self._first, self._length = first, last - first
        self._gain = np.float32(10 ** ((loudness - (measured or 0)) / 20))
        self._fade = min(_LOOP_FADE, self._length // 4)

    def read(self, start: int, end: int) -> np.ndarray:
        """Samples `start` to `end`, float32 [2, end - start]."""
        period, parts = self._length - self._fade, []
        while start < end:
            turn, at = divmod(start, period)
            count = min(end - start, period - at)
            part = self._music(at, at + count)
            if turn and at < self._fade:
                rise = np.clip((np.arange(at, at + count) + 0.5) / self._fade, 0, 1) * (np.pi / 2)
                ending = self._music(period + at, min(period + at + count, self._length))
                ending = np.pad(ending, ((0, 0), (0, count - ending.shape[1])))
                part = part * np.sin(rise) + ending * np.cos(rise)
            parts.append(part)
            start += count
        return np.concatenate(parts, axis=1).astype(np.float32) * self._gain

    def _music(self, start: int, end: int) -> np.ndarray:
        return self._track.read(self._first + start, self._first + end)


def _stereo(music: Music) -> Iterator[np.ndarray]:
    for part in resample_in_parts(levels.repaired(music.waveform), music.sample_rate):
        yield np.repeat(part, 2, axis=0) if len(part) == 1 else part


def _examined(track: AudioTrack) -> tuple[int, int, float | None]:
    """Where the music starts and ends, and its loudness in LUFS; None if it is silent."""
    peak = 0.0
    with Meter() as meter:
        for start, end in track.blocks():
            block = track.read(start, end)
            peak = max(peak, levels.peak_of(block))
            meter.add(block)
        loudness = meter.result().integrated
    first, last = track.samples, 0
    for start, end in track.blocks():
        audible = np.flatnonzero(np.maximum(*np.abs(track.read(start, end))) > peak * _AUDIBLE)
        if audible.size:
            first, last = min(first, start + int(audible[0])), start + int(audible[-1]) + 1
    return (first, last, loudness) if last > first else (0, 0, None)


@dataclass(frozen=True)
class Fades:
    """How loud the bed is at each moment of a film, without ducking."""

    at: np.ndarray
    level: np.ndarray

    def read(self, start: int, end: int) -> np.ndarray:
        """The gain of samples `start` to `end`, 0 to 1: float32 [end - start]."""
        linear = np.interp(np.arange(start, end), self.at, self.level)
        return (0.5 - 0.5 * np.cos(np.pi * linear)).astype(np.float32)


def fades(samples: int, fade_seconds: float, off: Sequence[Span]) -> tuple[Fades, Fades]:
    """The fades of a whole film, and those around the spans without music, in order; they are multiplied."""
    ends = min(round(fade_seconds * SAMPLE_RATE), samples // 2)
    outer = 0.0 if ends else 1.0
    whole = Fades(np.array([0, ends, samples - ends, samples]), np.array([outer, 1.0, 1.0, outer]))
    at, level = [0], [1.0]
    for start, end in _without_interludes(off):
        at += [start - _OFF_FADE, start, end, end + _OFF_FADE]
        level += [1.0, 0.0, 0.0, 1.0]
    if len(at) > 1:
        del at[0], level[0]
    return whole, Fades(np.array(at), np.array(level))


def _without_interludes(off: Sequence[Span]) -> list[Span]:
    joined: list[Span] = []
    for start, end in off:
        if joined and start - joined[-1][1] <= _INTERLUDE:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


class Ducker:
    """Lowers music while voices are heard, with ffmpeg's `sidechaincompress`.

    Of what a voice exceeds the threshold by, three fifths are taken from the music: 9 to 12 dB in speech. It
    falls with an attack of 30 ms, which begins 80 ms before the voice, and returns with a release of 400 ms,
    slowly enough not to pump between words.
    """

    def __init__(self, voices: AudioTrack, loudness: float) -> None:
        """`loudness` of the voices in LUFS."""
        self._voices, self._position = voices, 0
        graph = self._graph = Graph()
        level = min(max(10 ** ((_SIDE_CHAIN - loudness) / 20), _LEVELS[0]), _LEVELS[1])
        compressor = graph.add("sidechaincompress", level_sc=f"{level:.6f}", **_DUCKING)
        self._music, self._side = audio_input(graph), audio_input(graph)
        self._output = graph.add("abuffersink")
        self._music.link_to(compressor, 0, 0)
        self._side.link_to(compressor, 0, 1)
        compressor.link_to(self._output)
        graph.configure()

    def duck(self, music: np.ndarray) -> np.ndarray:
        """The next block of the music, float32 [2, n], lowered."""
        start, end = self._position, self._position + music.shape[1]
        self._music.push(audio_frame(music, start))
        self._side.push(audio_frame(self._voices.read(start + _AHEAD, end + _AHEAD), start))
        self._position = end
        blocks = []
        while sum(block.shape[1] for block in blocks) < music.shape[1]:
            frame = self._output.pull()
            assert isinstance(frame, av.AudioFrame)
            blocks.append(frame.to_ndarray().reshape(-1, 2).T)
        return np.concatenate(blocks, axis=1).astype(np.float32)


def blocks_of(
    bed: Bed, music: Music, voices: AudioTrack, loudness: float, off: Sequence[Span]
) -> Iterator[np.ndarray]:
    """The bed of a film as it is heard under its voices, in blocks of `voices`, float32 [2, n]."""
    ducker = Ducker(voices, loudness) if music.duck else None
    whole, silences = fades(voices.samples, music.fade_seconds, off)
    for start, end in voices.blocks():
        block = bed.read(start, end) * (whole.read(start, end) * silences.read(start, end))
        yield ducker.duck(block) if ducker else block
