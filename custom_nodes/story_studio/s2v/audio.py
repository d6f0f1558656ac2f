"""Sound for the model: a recording becomes one feature vector for each picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import soxr
import torch

from ..core import wav2vec2
from . import timeline

SAMPLE_RATE = 16_000
SILENCE = 10 ** (-60 / 20)
_A_PICTURE = SAMPLE_RATE // timeline.FPS
_HOP = 320
"""Samples between two features of wav2vec2: 50 a second."""
_RECEPTIVE = 400
"""Samples that one feature looks at."""
_WINDOW = 8 * timeline.PICTURES
"""Pictures whose sound is encoded at a time: 40 seconds."""
_OVERLAP = timeline.PICTURES
"""Pictures on both sides of a window whose sound is encoded with it and then dropped."""
_PIECE = 100
"""Features that the convolutions make at a time."""
_FEATURES_A_SECOND = 30


def waveform(audio: dict[str, Any]) -> torch.Tensor:
    """The samples of a ComfyUI AUDIO, checked.

    Returns:
        float32 [channels, samples], between -1 and 1 as recorded.

    Raises:
        ValueError: there is no sound in it, or it is broken.
    """
    samples = audio["waveform"]
    if samples.ndim != 3 or 0 in samples.shape or int(audio["sample_rate"]) <= 0:
        raise ValueError("The recording is empty: link a recording with sound in it.")
    samples = _as_float(samples[0].detach().cpu())
    if not torch.isfinite(samples).all():
        raise ValueError("The recording holds values that are not numbers: export it again as WAV or MP3.")
    return samples


def is_silent(samples: torch.Tensor) -> bool:
    """Whether nothing in a recording [channels, samples] is louder than -60 dB of full scale."""
    return float(samples.abs().max()) < SILENCE


def hear(
    encoder: Any, samples: torch.Tensor, sample_rate: int, frames: int, lead: int = timeline.LEAD
) -> Iterator[torch.Tensor]:
    """What the model hears in each chunk of the clip, each encoded once, when its turn comes.

    The sound is led in by three pictures of silence and padded with silence to whole chunks: silence that is
    heard closes the mouth, features that are missing do not. Loudness is normalised on the recording alone;
    a silent recording is not, for its noise would become a voice. Eight chunks are encoded at a time, with
    five seconds on both sides, so that no more than that is ever held.

    Args:
        encoder: ComfyUI's AUDIO_ENCODER, a wav2vec2 model.
        samples: float [channels, samples].
        sample_rate: of `samples`, in Hz.
        frames: pictures of the clip.
        lead: pictures of silence before the sound; LATE leaves its first picture's sound out.

    Yields:
        float32 [1, layers, dimensions, 80] on the CPU for each chunk.
    """
    pictures = timeline.chunk_count(frames, lead) * timeline.PICTURES
    mono = samples.mean(dim=0).numpy()
    if is_silent(samples):
        mono = np.zeros_like(mono)
    if sample_rate != SAMPLE_RATE:
        # librosa's resampler, without the seconds that importing librosa takes.
        mono = soxr.resample(mono, sample_rate, SAMPLE_RATE, quality="HQ")
    mean, deviation = float(mono.mean()), float(np.sqrt(mono.var() + 1e-7))
    sound = torch.from_numpy(_led_in(mono, lead, pictures)).sub_(mean).div_(deviation)
    del mono, samples
    for first in range(0, pictures, _WINDOW):
        yield from _hear_window(encoder, sound, first, min(first + _WINDOW, pictures)).split(
            timeline.PICTURES, dim=-1
        )


def _led_in(mono: np.ndarray, lead: int, pictures: int) -> np.ndarray:
    """Sound [samples] at 16 kHz, led in by `lead` pictures of silence, to exactly `pictures` pictures."""
    before = max(0, lead) * _A_PICTURE
    sound = mono[max(0, -lead) * _A_PICTURE :][: pictures * _A_PICTURE - before]
    return np.pad(sound, (before, pictures * _A_PICTURE - before - len(sound)))


def _as_float(samples: torch.Tensor) -> torch.Tensor:
    if samples.is_floating_point():
        return samples.float()
    if samples.dtype == torch.uint8:
        return (samples.float() - 128) / 128
    return samples.float() / torch.iinfo(samples.dtype).max


def _hear_window(encoder: Any, sound: torch.Tensor, first: int, last: int) -> torch.Tensor:
    """What some pictures hear of normalised sound [samples] -> [1, layers, dimensions, pictures]."""
    device = wav2vec2.load(encoder)
    before = max(0, first - _OVERLAP) * _A_PICTURE
    after = (last + _OVERLAP) * _A_PICTURE
    features = _hidden_states(encoder, sound[before:after].to(device)).float()
    return _at_pictures(features, before // _HOP, _feature_count(len(sound)), first, last)


def _feature_count(samples: int) -> int:
    return (samples - _RECEPTIVE) // _HOP + 1


def _hidden_states(encoder: Any, sound: torch.Tensor) -> torch.Tensor:
    return wav2vec2.hidden_states(encoder, _local_features(encoder, sound))


def _local_features(encoder: Any, sound: torch.Tensor) -> torch.Tensor:
    """The convolutions' output [1, features, 512]: each hears 25 ms, so pieces of it give the same."""
    count = _feature_count(len(sound))
    ends = [(first, min(first + _PIECE, count)) for first in range(0, count, _PIECE)]
    parts = [sound[first * _HOP : (last - 1) * _HOP + _RECEPTIVE] for first, last in ends]
    return torch.cat([wav2vec2.local_features(encoder, part) for part in parts], dim=1)


def _at_pictures(features: torch.Tensor, offset: int, count: int, first: int, last: int) -> torch.Tensor:
    """50 features a second -> 30 a second, then the one nearest to each picture's time.

    Args:
        features: float [layers, features, dimensions], some of the recording's.
        offset: how many of the recording's are before them.
        count: how many the recording has.
        first, last: the pictures wanted.

    Returns:
        float32 [1, layers, dimensions, last - first] on the CPU; zeros after the last feature.
    """
    length = count * _FEATURES_A_SECOND // 50
    index = torch.round(torch.arange(first, last) * (_FEATURES_A_SECOND / timeline.FPS)).long()
    inside = index < length
    # Linear interpolation with aligned corners: 0 to length - 1 are spread over 0 to count - 1. In 32 bits,
    # as torch does it for the official code.
    position = index[inside].float() * torch.tensor((count - 1) / max(1, length - 1))
    left = position.long()
    share = (position - left).to(features)[:, None]
    here, there = ((left + step).clamp(max=count - 1) - offset for step in (0, 1))
    heard = torch.zeros(features.shape[0], features.shape[2], last - first)
    mixed = (1 - share) * features[:, here] + share * features[:, there]
    heard[:, :, inside] = mixed.transpose(1, 2).cpu()
    return heard.unsqueeze(0)
