"""Whether lips follow a voice, and by how much they are off.

Mouth and voice are projected onto the directions in which they go together (`lips`); at the right offset the
projections correlate, at others and with the voice of somebody else they do so by chance only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..signal.voice_levels import librosa_loaded
from .figures import Sync
from .lips import lips

# The offsets that are compared, in seconds: eight frames at 16 fps and what a clip is off by itself.
REACH = 0.64
STEP = 0.02

MOUTH_RATE = 25
MOUTH_TAPS = (-4, -2, 0, 2, 4)
VOICE_RATE = 100
VOICE_TAPS = tuple(range(-20, 21, 4))

_SAMPLE_RATE = 16000
_HOP = _SAMPLE_RATE // VOICE_RATE
_FFT = 512
_WINDOW = 400
_BANDS = 20
_LOWEST = 80.0
_HIGHEST = 7600.0
_FLOOR = 1e-6
_CHUNK = 60 * VOICE_RATE

_SHORTEST = 1.5
# Seconds that the part of a clip with an offset of its own lasts at least.
_PART = 4
# The standard deviation of the score of one second with the voices of others, as measured; that of n
# seconds is less by the square root of n.
_CHANCE = 0.62
# In such deviations: by how much two offsets have to explain a clip better than one, and a large offset
# better than an ordinary one. Real clips are off by up to 0.1 s.
_CHANGE = 1.2
_PRIOR = 0.4
_ORDINARY = (0.10, 0.18)
# Frames beyond which a clip is out of sync from `Sync.start` on.
_OUT = 2.0

_Floats = NDArray[np.float32]
_OFFSETS = np.arange(-round(REACH / STEP), round(REACH / STEP) + 1) * STEP


def sync_of(mouth: Sequence[_Floats | None], fps: float, samples: _Floats, rate: int) -> Sync:
    """How the mouths of a clip's frames follow its voice.

    The confidence is the weighted correlation at the best offset, in standard deviations of what it is with
    the voice of somebody else, whatever the length. Of a clip whose offset changes, the one further out
    counts, and `start` says where it begins.

    Args:
        mouth: `FaceSample.mouth` of every frame, None where there is no face.
        fps: frames a second.
        samples: [N] mono, from the time of the first frame on.
        rate: samples a second.

    Returns:
        figures without values if a face is seen for less than 1.5 s in all, or if the audio is shorter than
        that or silent.
    """
    shapes, seen = _resample_mouth(mouth, fps)
    if min(seen.sum() / MOUTH_RATE, len(samples) / rate) < _SHORTEST or not np.any(samples):
        return Sync()
    evidence = _evidence(
        project_mouth(mouth_features(shapes)), seen, project_voice(voice_features(samples, rate))
    )
    chance = _CHANCE / np.sqrt(seen.sum() / MOUTH_RATE)
    offset, score, start = _read(evidence, chance)
    return Sync(
        offset_frames=round(offset * fps, 2),
        offset_seconds=round(offset, 3),
        confidence=round(score / chance, 2),
        start=float(start) if abs(offset * fps) >= _OUT else None,
    )


def mouth_features(shapes: _Floats) -> _Floats:
    """The movement of a mouth, [T, K], of its shapes [T, K] at MOUTH_RATE: no slow changes, unit size."""
    moving = high_pass(shapes, 0.5, MOUTH_RATE)
    return moving / (moving.std(0) + 1e-9)


def voice_features(samples: _Floats, rate: int) -> _Floats:
    """The changes of a voice's spectrum, [N, bands], at VOICE_RATE, from mono samples."""
    librosa = librosa_loaded()
    if rate != _SAMPLE_RATE:
        samples = librosa.resample(samples, orig_sr=rate, target_sr=_SAMPLE_RATE)
    bank = librosa.filters.mel(sr=_SAMPLE_RATE, n_fft=_FFT, n_mels=_BANDS, fmin=_LOWEST, fmax=_HIGHEST)
    count = 1 + len(samples) // _HOP
    padded = np.pad(samples, (_FFT // 2, _FFT // 2 + _HOP))
    powers = []
    for first in range(0, count, _CHUNK):
        last = min(first + _CHUNK, count)
        part = padded[first * _HOP : (last - 1) * _HOP + _FFT]
        spectrum = librosa.stft(part, n_fft=_FFT, hop_length=_HOP, win_length=_WINDOW, center=False)
        powers.append((bank @ (np.abs(spectrum) ** 2)).T)
    power = np.concatenate(powers)
    moving = high_pass(np.log(power + _FLOOR * power.max()), 0.4, VOICE_RATE)
    return moving / (moving.std() + 1e-9)


def project_mouth(features: _Floats) -> _Floats:
    """[T, C] from `mouth_features`."""
    return _project(features, MOUTH_TAPS, lips().mouth)


def project_voice(features: _Floats) -> _Floats:
    """[N, C] from `voice_features`."""
    return _project(features, VOICE_TAPS, lips().voice)


def context(features: _Floats, tap: int) -> _Floats:
    """The features `tap` steps later; those of the ends beyond them."""
    return features[np.clip(np.arange(len(features)) + tap, 0, len(features) - 1)]


def _project(features: _Floats, taps: Sequence[int], directions: _Floats) -> _Floats:
    width = features.shape[1]
    parts = (context(features, tap) @ directions[i * width : (i + 1) * width] for i, tap in enumerate(taps))
    return sum(parts, np.zeros((len(features), directions.shape[1]), np.float32))


def high_pass(values: _Floats, hertz: float, rate: int) -> _Floats:
    """Values [T, N] at `rate` without what changes more slowly than `hertz`."""
    from scipy.signal import butter, sosfiltfilt  # It takes half a second.

    return sosfiltfilt(butter(2, hertz, "high", fs=rate, output="sos"), values, axis=0).astype(np.float32)


def _resample_mouth(mouth: Sequence[_Floats | None], fps: float) -> tuple[_Floats, NDArray[np.bool_]]:
    """The shapes [T, K] at MOUTH_RATE, and where there is one: gaps are filled with a straight line."""
    known = np.array([index for index, shape in enumerate(mouth) if shape is not None])
    if not known.size:
        return np.zeros((0, 0), np.float32), np.zeros(0, np.bool_)
    shapes = np.stack([shape for shape in mouth if shape is not None])
    at = np.arange(int((len(mouth) - 1) / fps * MOUTH_RATE) + 1) * fps / MOUTH_RATE
    filled = np.stack([np.interp(at, known, values) for values in shapes.T], 1).astype(np.float32)
    return filled, np.isin(np.round(at).astype(int), known)


def _evidence(mouth: _Floats, seen: NDArray[np.bool_], voice: _Floats) -> _Floats:
    """How well both agree in each second at each offset, [seconds, offsets].

    The sum over all seconds is the weighted sum of the correlations: a quiet or still second says little.
    """
    mouth = mouth * seen[:, None]
    weights = lips().weights / np.linalg.norm(lips().weights)
    starts = np.arange(0, len(mouth), MOUTH_RATE)
    steps = np.round(np.arange(len(mouth)) * (VOICE_RATE / MOUTH_RATE)).astype(int)
    columns = []
    for offset in np.round(_OFFSETS * VOICE_RATE).astype(int):
        at = steps + offset
        moved = voice[np.clip(at, 0, len(voice) - 1)] * ((at >= 0) & (at < len(voice)))[:, None]
        sizes = np.sqrt((mouth**2).sum(0) * (moved**2).sum(0)) + 1e-9
        columns.append(np.add.reduceat(mouth * moved @ (weights / sizes), starts))
    return np.stack(columns, 1)


def _read(evidence: _Floats, chance: float) -> tuple[float, float, int]:
    """Offset in seconds, its score, and the second from which on the offset is that.

    Args:
        chance: the standard deviation of the sum of the evidence by chance.
    """
    low, high = _ORDINARY
    prior = _PRIOR * chance * np.clip((np.abs(_OFFSETS) - low) / (high - low), 0, 1)
    whole = evidence.sum(0) - prior
    heads = evidence.cumsum(0)[_PART - 1 : -_PART] - prior
    tails = evidence.sum(0) - prior - (heads + prior)
    gains = heads.max(1) + tails.max(1) - whole.max() if len(evidence) >= 2 * _PART else np.zeros(0)
    if not gains.size or gains.max() < _CHANGE * chance:
        return _peak(whole), float(evidence.sum(0)[whole.argmax()]), 0
    split = int(gains.argmax())
    parts = ((heads[split], 0), (tails[split], _PART + split))
    scores, start = max(parts, key=lambda part: abs(_peak(part[0])))
    return _peak(scores), float(heads[split].max() + tails[split].max()), start


def _peak(scores: _Floats) -> float:
    """The offset of the highest score: the top of the parabola through it and its neighbours."""
    top = int(scores.argmax())
    if not 0 < top < len(scores) - 1:
        return float(_OFFSETS[top])
    before, here, after = scores[top - 1 : top + 2]
    bend = before - 2 * here + after
    return float(_OFFSETS[top] + STEP * (0.5 * (before - after) / bend if bend < 0 else 0.0))
