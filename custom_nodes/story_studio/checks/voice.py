"""What is measured of a voice: when somebody speaks, how loud, over how much noise, and what is wrong.

The levels come from librosa, which takes two seconds to import and is imported when the first is measured.
Audio of any length is measured in the same memory. Loudness in LUFS is measured by `loudness`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np

from ..story.levels import Levels, repaired
from .figures import Span, Voice
from .verdict import thresholds

Read = Callable[[int, int], np.ndarray]
"""Returns samples from the first number to before the second, float32 [channels, n]; fewer at the end."""
SILENCE = -120.0
"""dBFS: the level of digital silence, and the least that is measured."""
_PIECE = 4
"""Seconds that are measured at a time."""
_WINDOW = 0.02
"""Seconds that a level is of, in which speech and noise are told apart."""
_PAUSE_SECONDS, _SPEECH_SECONDS = 0.25, 0.1
"""A shorter silence is no pause, and shorter sound no speech."""
_NO_VOICE = -55.0
"""LUFS, after the gates. Below are the noises of an empty room and of the recorder."""
_NO_NOISE = -30.0
"""LUFS. What is louder was meant to be heard, however steady it is."""
_STEADY = 6.0
"""dB between the loud and the soft moments of steady noise, at most; a voice varies by more."""
_MOMENT, _FEWEST_MOMENTS = 0.05, 4
"""Seconds of such a moment, and how many make a voice."""
_NOTHING = -80.0
"""dBFS. Below is the digital silence of an editor or of a synthetic voice, which says nothing of the room."""
_MOSTLY_LIVE = 0.8
"""Part of the levels of a recording that are above it, at least; one with more silence has no noise."""
_QUIETEST = 5
"""Per cent of the levels that are as quiet as the noise floor."""
_AT_PEAK, _NEAR_PEAK, _SLOPE = 0.98, 0.9, 44.0
"""Parts of the peak from which on a wave is at it, or near it, and that it moves in a second, at most, where
it is cut off."""
_CROWDED = 1.0
"""Samples at the peak of a wave that is cut off, as a multiple of those near it; others have fewer."""
_EDGE, _CUT = 0.005, -21.0
"""Seconds at the start and the end, and dB relative to the words above which they are part of a word."""
_AROUND = {"first": "before", "last": "after"}
_lock = Lock()


def _librosa() -> Any:
    # It loads its modules when they are used first, which several threads must not do at once.
    with _lock:
        import librosa

        assert librosa.feature.rms and librosa.amplitude_to_db
        return librosa


def level(audio: np.ndarray, frame: int) -> np.ndarray:
    """The levels of consecutive frames, in dB of full scale, root mean square.

    Args:
        audio: float [samples], or [channels, samples], whose mean power it is.
        frame: samples in each; what is left at the end is not measured.

    Returns:
        float64 [frames], `SILENCE` at least.
    """
    if audio.shape[-1] < frame:
        return np.zeros(0)
    librosa = _librosa()
    rms = librosa.feature.rms(y=audio, frame_length=frame, hop_length=frame, center=False, dtype=np.float64)
    powers = np.square(rms[..., 0, :])
    return librosa.power_to_db(
        powers if audio.ndim == 1 else powers.mean(axis=0), amin=10 ** (SILENCE / 10), top_db=None
    )


def levels_of(read: Read, samples: int, rate: int, seconds: float) -> np.ndarray:
    """The levels of what is heard of audio, as `Levels` has it, in dB of full scale.

    Args:
        read: returns parts of the audio, counted from 0.
        samples: its length.
        rate: in Hz.
        seconds: of each level, of which a whole number fills a second.

    Returns:
        float32 [n].
    """
    measured, found = Levels(), [np.zeros(0)]
    for start, end in pairwise([*range(0, samples, _PIECE * rate), samples]):
        measured.add(read(start, end))
    for start, end in pairwise([*range(0, samples, _PIECE * rate), samples]):
        found.append(_levels(measured.mono(repaired(read(start, end))), rate, seconds))
    return np.concatenate(found).astype(np.float32)


def _levels(audio: np.ndarray, rate: int, seconds: float) -> np.ndarray:
    """The levels of audio [n] that starts with a second; a second's frames start anew with it.

    So parts of a sample do not add up where a frame is not a whole number of them, as at 22.05 kHz.
    """
    per_second = round(1 / seconds)
    frame = max(1, rate // per_second)
    parts = [level(audio[at : at + rate], frame)[:per_second] for at in range(0, len(audio), rate)]
    if rest := len(audio) % rate:
        parts[-1] = parts[-1][: rest * per_second // rate]
    return np.concatenate([np.zeros(0), *parts])


def is_speech(levels: np.ndarray) -> np.ndarray:
    """Which levels of a recording, in dB [n], are speech: bool [n].

    Speech is 8 dB louder than the quietest tenth, or within 12 dB of the peaks where that is less, and at
    most 35 dB below them. A recording whose peaks are below -60 dB has none.
    """
    if not len(levels):
        return np.zeros(0, bool)
    floor, peak = np.percentile(levels, (10, 95))
    if peak < -60:
        return np.zeros(len(levels), bool)
    return levels > max(peak - 35, min(floor + 8, peak - 12))


def speech_spans(read: Read, samples: int, rate: int) -> list[tuple[float, float]]:
    """The spans `(start, end)` of speech in audio, in seconds.

    Speech is what is clearly louder than the quiet parts. Silence has no spans. Arguments as in `levels_of`.
    """
    return _spans(is_speech(levels_of(read, samples, rate, _WINDOW)))


def _spans(speech: np.ndarray) -> list[tuple[float, float]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], speech, [False]]).astype(np.int8)))
    joined: list[tuple[float, float]] = []
    for start, end in (edges.reshape(-1, 2) / round(1 / _WINDOW)).tolist():
        if joined and start - joined[-1][1] < _PAUSE_SECONDS:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return [(start, end) for start, end in joined if end - start >= _SPEECH_SECONDS]


def moments(audio: np.ndarray, rate: int) -> np.ndarray:
    """The levels of the moments of audio, float [channels, samples], for `is_voice`."""
    # A constant offset is no sound.
    centred = audio - audio.mean(axis=1, keepdims=True) if audio.size else audio
    return level(centred, round(_MOMENT * rate))


def is_voice(levels: np.ndarray, lufs: float | None) -> bool:
    """Whether audio is more than silence, noise, or the shortest of sounds.

    Args:
        levels: of its moments.
        lufs: its loudness; None if it is silent.
    """
    if lufs is None or lufs < _NO_VOICE or len(levels) < _FEWEST_MOMENTS:
        return False
    if lufs >= _NO_NOISE:
        return True
    soft, loud = np.percentile(levels, (10, 90))
    return bool(loud - soft >= _STEADY)


class VoiceMeter:
    """Measures a voice that is added in blocks, but for its loudness."""

    def __init__(self) -> None:
        self._rate = self._samples = self._flat = self._at_peak = self._near_peak = 0
        self._peak = 0.0
        self._rest = self._first = self._last = np.zeros(0, np.float32)
        self._levels: list[np.ndarray] = []

    def add(self, block: np.ndarray, rate: int) -> None:
        """Adds audio, float [n], without damaged samples; the rate in Hz may change."""
        if rate != self._rate:
            self._flush()
            self._rate = rate
        self._count_flat(block)
        self._samples += len(block)
        edge = max(1, round(rate * _EDGE))
        self._first = self._first if len(self._first) >= edge else np.append(self._first, block)[:edge]
        self._last = np.append(self._last[-edge:], block)[-edge:]
        audio = np.concatenate([self._rest, block])
        whole = len(audio) // rate * rate
        self._levels.append(_levels(audio[:whole], rate, _WINDOW))
        self._rest = audio[whole:]

    def result(self) -> Voice:
        """What was measured. Nothing can be added after."""
        self._flush()
        levels = np.concatenate([np.zeros(0), *self._levels])
        speech = is_speech(levels)
        if not speech.any():
            return Voice()
        live = levels[levels > _NOTHING]
        floor = float(np.percentile(live if len(live) >= _MOSTLY_LIVE * len(levels) else levels, _QUIETEST))
        noise, words = 10 ** (floor / 10), float(np.mean(10 ** (levels[speech] / 10)))
        loud = 10 * np.log10(words)
        start, end = (float(level(edge, len(edge))[0] - loud) for edge in (self._first, self._last))
        return Voice(
            peak=20 * float(np.log10(max(self._peak, 1e-6))),
            clipped=self._clipped / self._samples,
            level=float(loud),
            noise_floor=floor,
            speech_to_noise=10 * float(np.log10(max(words - noise, noise / 1000) / noise)),
            speech=[Span(start=start, end=end) for start, end in _spans(speech)],
            start_level=start,
            end_level=end,
            cut_start=start > _CUT,
            cut_end=end > _CUT,
        )

    def _flush(self) -> None:
        if len(self._rest):
            self._levels.append(_levels(self._rest, self._rate, _WINDOW))
        self._rest = self._rest[:0]

    @property
    def _clipped(self) -> int:
        return self._flat if self._at_peak > _CROWDED * self._near_peak else 0

    def _count_flat(self, block: np.ndarray) -> None:
        """Counts samples that stand at the peak. A wave turns there, and only one that is cut off stays."""
        loud = np.abs(block)
        peak = float(loud.max(initial=0.0))
        if peak * _AT_PEAK > self._peak:
            self._flat = self._at_peak = self._near_peak = 0
        self._peak = max(self._peak, peak)
        is_near, is_at = loud >= _NEAR_PEAK * self._peak, loud >= _AT_PEAK * self._peak
        stays = np.abs(np.diff(block)) <= _SLOPE / self._rate * self._peak
        self._at_peak += int(np.count_nonzero(is_at))
        self._near_peak += int(np.count_nonzero(is_near & ~is_at))
        self._flat += int(np.count_nonzero(stays & is_at[1:]))


def faults(voice: Voice) -> list[str]:
    """What is wrong with a recording and what to do, as ends of sentences that start with its name."""
    if voice.level is None or voice.speech_to_noise is None:
        return []
    found: list[str] = []
    if _is_beyond("voice.clipped", voice.clipped):
        found.append(
            f"is clipped: {voice.clipped:.2%} of it is cut off at its peaks. Record it with less gain, "
            "or take it as it was before it was made louder."
        )
    if _is_beyond("voice.speech_to_noise", voice.speech_to_noise):
        found.append(
            f"is noisy: its words are only {voice.speech_to_noise:.0f} dB louder than what is between them. "
            "Record it in a quieter place, or take out the noise or the music."
        )
    # Of speech, this level is within 3 dB of its loudness in LUFS.
    if _is_beyond("voice.loudness", voice.level):
        found.append(
            f"is very soft: its words are at {voice.level:.0f} dB of full scale. Record it closer to the "
            "microphone or with more gain, so that raising it does not raise noise."
        )
    for cut, what, moved, side in (
        (voice.cut_start, "starts", voice.start_level, "first"),
        (voice.cut_end, "ends", voice.end_level, "last"),
    ):
        if cut:
            found.append(
                f"{what} in the middle of a word: its {side} 5 ms are at {moved:+.0f} dB of its level. If "
                f"the {side} word is cut, record it again with a moment of silence {_AROUND[side]} it."
            )
    return found


def _is_beyond(figure: str, value: float) -> bool:
    entry = thresholds()[figure]
    above, below = entry.above and entry.above.warn, entry.below and entry.below.warn
    return (above is not None and value > above) or (below is not None and value < below)
