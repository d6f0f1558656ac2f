"""Sound for the model: a recording becomes one feature vector for each picture."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import numpy as np
import soxr
import torch

from . import timeline

SAMPLE_RATE = 16_000
SILENCE = 10 ** (-60 / 20)
_HOP = 320
"""Samples between two features of wav2vec2: 50 a second."""
_RECEPTIVE = 400
"""Samples that one feature looks at."""
_WINDOW = 40 * SAMPLE_RATE
_OVERLAP = 5 * SAMPLE_RATE
"""Sound on both sides of a window that is encoded with it and then dropped."""
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


def encode(
    encoder: Any, samples: torch.Tensor, sample_rate: int, frames: int, lead: int = timeline.LEAD
) -> torch.Tensor:
    """What the model hears at each picture of the clip.

    The sound is led in by three pictures of silence and padded with silence to whole chunks: silence that is
    heard closes the mouth, features that are missing do not. Loudness is normalised on the recording alone;
    a silent recording is not, for its noise would become a voice.

    Args:
        encoder: ComfyUI's AUDIO_ENCODER, a wav2vec2 model.
        samples: float [channels, samples].
        sample_rate: of `samples`, in Hz.
        frames: pictures of the clip.
        lead: pictures of silence before the sound; LATE leaves its first picture's sound out.

    Returns:
        float32 [1, layers, dimensions, pictures] on the CPU, pictures = 80 * chunks.
    """
    pictures = timeline.chunk_count(frames, lead) * timeline.PICTURES
    mono = samples.mean(dim=0).numpy()
    if is_silent(samples):
        mono = np.zeros_like(mono)
    if sample_rate != SAMPLE_RATE:
        # librosa's resampler, without the seconds that importing librosa takes.
        mono = soxr.resample(mono, sample_rate, SAMPLE_RATE, quality="HQ")
    mean, deviation = float(mono.mean()), float(np.sqrt(mono.var() + 1e-7))
    led_in = _led_in(mono, lead, pictures)
    features = _encode_windows(encoder, torch.from_numpy((led_in - mean) / deviation))
    return _at_pictures(features, pictures)


def _led_in(mono: np.ndarray, lead: int, pictures: int) -> np.ndarray:
    """Sound [samples] at 16 kHz, led in by `lead` pictures of silence, to exactly `pictures` pictures."""
    a_picture = SAMPLE_RATE // timeline.FPS
    before = np.zeros(max(0, lead) * a_picture, np.float32)
    sound = np.concatenate([before, mono[max(0, -lead) * a_picture :]])[: pictures * a_picture]
    return np.pad(sound, (0, pictures * a_picture - len(sound)))


def _as_float(samples: torch.Tensor) -> torch.Tensor:
    if samples.is_floating_point():
        return samples.float()
    if samples.dtype == torch.uint8:
        return (samples.float() - 128) / 128
    return samples.float() / torch.iinfo(samples.dtype).max


def _encode_windows(encoder: Any, sound: torch.Tensor) -> torch.Tensor:
    """wav2vec2's hidden states of normalised sound [samples] -> [layers, features, dimensions]."""
    comfy.model_management.load_model_gpu(encoder.patcher)
    count = (len(sound) - _RECEPTIVE) // _HOP + 1
    parts = []
    for start in range(0, count * _HOP, _WINDOW):
        before = max(0, start - _OVERLAP)
        after = min(len(sound), start + _WINDOW + _OVERLAP)
        layers = _hidden_states(encoder.model, sound[before:after].to(encoder.load_device))
        first = (start - before) // _HOP
        parts.append(layers[:, first : first + _WINDOW // _HOP].float().cpu())
    return torch.cat(parts, dim=1)[:, :count]


def _hidden_states(model: Any, sound: torch.Tensor) -> torch.Tensor:
    # The parts of the model are called one by one, because its own forward normalises what it is given: a
    # window, or sound padded with silence, instead of the recording.
    _, layers = model.encoder(model.feature_projection(_local_features(model, sound)))
    return torch.cat(layers)


def _local_features(model: Any, sound: torch.Tensor) -> torch.Tensor:
    """The convolutions' output [1, features, 512]: each hears 25 ms, so pieces of it give the same."""
    count = (len(sound) - _RECEPTIVE) // _HOP + 1
    ends = [(first, min(first + _PIECE, count)) for first in range(0, count, _PIECE)]
    parts = [sound[first * _HOP : (last - 1) * _HOP + _RECEPTIVE] for first, last in ends]
    return torch.cat([model.feature_extractor(part.unsqueeze(0)) for part in parts], dim=1)


def _at_pictures(features: torch.Tensor, pictures: int) -> torch.Tensor:
    """50 features a second -> 30 a second, then the one nearest to each picture's time."""
    length = features.shape[1] * _FEATURES_A_SECOND // 50
    resampled = torch.nn.functional.interpolate(
        features.transpose(1, 2), size=length, mode="linear", align_corners=True
    )
    index = torch.round(torch.arange(pictures) * (_FEATURES_A_SECOND / timeline.FPS)).long()
    heard = torch.zeros(*resampled.shape[:2], pictures)
    inside = index < length
    heard[:, :, inside] = resampled[:, :, index[inside]]
    return heard.unsqueeze(0)
