"""How loud a recording is from moment to moment, and which of that is speech.

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

Read = Callable[[int, int], np.ndarray]
"""Returns samples from the first number to before the second, float32 [channels, n]; fewer at the end."""
SILENCE = -120.0
"""dBFS: the level of digital silence, and the least that is measured."""
_PIECE = 4
"""Seconds that are measured at a time."""
WINDOW = 0.02
"""Seconds that a level is of, in which speech is separated from noise."""
_PAUSE_SECONDS, _SPEECH_SECONDS = 0.25, 0.1
"""A shorter silence is no pause, and shorter sound no speech."""
_NO_VOICE = -55.0
"""LUFS, after the gates. Below are the noises of an empty room and of the recorder."""
_NO_NOISE = -30.0
"""LUFS. What is louder is no noise, however steady it is."""
_STEADY = 6.0
"""dB between the loud and the soft moments of steady noise, at most; a voice varies by more."""
_MOMENT, _FEWEST_MOMENTS = 0.05, 4
"""Seconds of such a moment, and how many make a voice."""
_lock = Lock()


def librosa_loaded() -> Any:
    """librosa with what the pack uses of it; the first call takes two seconds."""
    # It loads its modules when they are used first, which several threads must not do at once.
    with _lock:
        import librosa

        assert librosa.feature.rms and librosa.power_to_db and librosa.filters.mel and librosa.stft
        assert librosa.resample
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
    librosa = librosa_loaded()
    rms = librosa.feature.rms(y=audio, frame_length=frame, hop_length=frame, center=False, dtype=np.float64)
    powers = np.square(rms[..., 0, :])
    return librosa.power_to_db(
        powers if audio.ndim == 1 else powers.mean(axis=0), amin=10 ** (SILENCE / 10), top_db=None
    )


def levels_of(read: Read, samples: int, rate: int, seconds: float) -> np.ndarray:
    """The levels of audio as it is perceived, as `Levels` has it, in dB of full scale.

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
        found.append(levels_by_second(measured.mono(repaired(read(start, end))), rate, seconds))
    return np.concatenate(found).astype(np.float32)


def levels_by_second(audio: np.ndarray, rate: int, seconds: float) -> np.ndarray:
    """The levels of audio [n] that starts with a second; each second's frames start with it.

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
    return spans_of(is_speech(levels_of(read, samples, rate, WINDOW)))


def spans_of(speech: np.ndarray) -> list[tuple[float, float]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], speech, [False]]).astype(np.int8)))
    joined: list[tuple[float, float]] = []
    for start, end in (edges.reshape(-1, 2) / round(1 / WINDOW)).tolist():
        if joined and start - joined[-1][1] < _PAUSE_SECONDS:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return [(start, end) for start, end in joined if end - start >= _SPEECH_SECONDS]


def moments(audio: np.ndarray, rate: int) -> np.ndarray:
    """The levels of the moments of audio, float [channels, samples], for `is_voice`."""
    frame = round(_MOMENT * rate)
    whole = audio[:, : audio.shape[1] // frame * frame].reshape(len(audio), -1, frame)
    # A constant offset is no sound. Each moment has its own: a click must not raise the silence around it.
    return level((whole - whole.mean(axis=2, keepdims=True)).reshape(len(audio), -1), frame)


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
