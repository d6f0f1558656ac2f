"""Audio features for the model: the hidden states of wav2vec2, one feature vector for each frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
import torch

from ..checks.voice import VoiceMeter, faults
from ..core import wav2vec2
from ..story import levels
from . import timeline

SAMPLE_RATE = 16_000
_SAMPLES_PER_FRAME = SAMPLE_RATE // timeline.FPS
HOP = 320
"""Samples from one wav2vec2 feature to the next."""
RECEPTIVE_FIELD = 400
"""Samples that contribute to one wav2vec2 feature."""
_FEATURE_RATE = SAMPLE_RATE // HOP
_RESAMPLED_RATE = 30
"""Features a second in the official code before it picks the nearest for each frame."""
_WINDOW_FRAMES = 8 * timeline.CHUNK_FRAMES
"""Frames whose audio is encoded at a time: 40 seconds."""
_OVERLAP_FRAMES = timeline.CHUNK_FRAMES
"""Frames on both sides of a window whose audio is encoded as context and then discarded."""
_MEASURED_SECONDS = 60
"""Seconds of a recording that are measured at a time."""
_CONVOLVED_FEATURES = 100
"""Features that one call of the convolutions computes."""


@dataclass(frozen=True)
class Voice:
    """The validated samples of a ComfyUI AUDIO.

    Attributes:
        samples: float32 [channels, samples]; full scale is -1 to 1. Damaged samples are silence.
        sample_rate: in Hz.
        warnings: what the user should know about it, a sentence each.
    """

    samples: torch.Tensor
    sample_rate: int
    warnings: list[str]


def read_voice(audio: dict[str, Any], silent_on_purpose: bool = False) -> Voice:
    """Validates a ComfyUI AUDIO; silence has a warning unless it is there on purpose.

    Raises:
        ValueError: it is empty or shorter than a frame, or most of its samples are damaged.
    """
    waveform, rate = audio["waveform"], int(audio["sample_rate"])
    if waveform.ndim != 3 or 0 in waveform.shape or rate <= 0:
        raise ValueError("The audio is empty: link audio that contains sound.")
    samples = _as_float(waveform[0].detach().cpu())
    length = samples.shape[-1]
    if length * timeline.FPS < rate:
        raise ValueError(f"The audio lasts {length / rate:.3f} s, less than a frame: link a longer one.")
    measured = levels.measure(samples.numpy())
    if measured.is_lost:
        raise ValueError("Most samples of the audio are not numbers: export it again as WAV or MP3.")
    if measured.damaged:
        samples = samples.clone()
        levels.repair(samples.numpy())
    return Voice(samples, rate, _warnings(measured, rate, len(waveform), silent_on_purpose))


def warnings_of(voice: Voice) -> list[str]:
    """What is wrong with a recording that a clip is to be made from, a sentence each."""
    samples = voice.samples
    seconds = samples.shape[-1] / voice.sample_rate
    found = [*voice.warnings]
    if seconds < levels.MIN_SECONDS:
        found.append(
            f"The recording lasts {seconds:.2f} s, and a scene needs at least {levels.MIN_SECONDS} s."
        )
    meter = VoiceMeter()
    for part in samples.split(voice.sample_rate * _MEASURED_SECONDS, dim=-1):
        meter.add(part.mean(dim=0).numpy(), voice.sample_rate)
    return found + [f"The recording {fault.text}" for fault in faults(meter.result())]


def encode_audio(
    encoder: Any,
    samples: torch.Tensor,
    sample_rate: int,
    frames: int,
    lead_in: int = timeline.LEAD_IN_FRAMES,
) -> Iterator[torch.Tensor]:
    """Audio features chunk by chunk, each encoded when it is needed.

    The audio is padded with silence on both sides, up to whole chunks: features of silence close the mouth,
    missing features do not. It is normalised before it is padded. Silent audio is replaced by zeros, because
    normalising would amplify its noise to the level of a voice. Of channels that cancel out the loudest is
    encoded, and a constant offset is removed, because the padding would end with a click. Windows of eight
    chunks are encoded with five seconds of context on both sides, which bounds the memory.

    Args:
        encoder: ComfyUI's AUDIO_ENCODER, a wav2vec2 model.
        samples: float [channels, samples].
        sample_rate: of `samples`, in Hz.
        frames: length of the clip.
        lead_in: frames of silence before the audio; -1 skips the audio of the first frame.

    Yields:
        float32 [1, layers, dimensions, 80] on the CPU for each chunk.
    """
    total = timeline.chunk_count(frames, lead_in) * timeline.CHUNK_FRAMES
    mono = resampled(samples, sample_rate)
    mean, deviation = statistics(mono)
    padded = torch.from_numpy(_pad(mono, lead_in, total)).sub_(mean).div_(deviation)
    del mono, samples
    for start in range(0, total, _WINDOW_FRAMES):
        window = _encode_window(encoder, padded, start, min(start + _WINDOW_FRAMES, total))
        yield from window.split(timeline.CHUNK_FRAMES, dim=-1)


def resampled(samples: torch.Tensor, sample_rate: int) -> np.ndarray:
    """What the model hears of float audio [channels, samples], at 16 kHz: float32 [samples]."""
    mono = _used(samples)
    if sample_rate == SAMPLE_RATE:
        return mono
    # librosa's resampler, without the seconds that importing librosa takes.
    return soxr.resample(mono, sample_rate, SAMPLE_RATE, quality="HQ")


def statistics(mono: np.ndarray) -> tuple[float, float]:
    """The mean and the standard deviation that wav2vec2 expects its input to be normalised by."""
    return float(mono.mean()), float(np.sqrt(mono.var() + 1e-7))


def feature_count(samples: int) -> int:
    """How many features wav2vec2 makes of so many samples at 16 kHz."""
    return (samples - RECEPTIVE_FIELD) // HOP + 1


def convolve(encoder: Any, audio: torch.Tensor) -> torch.Tensor:
    """The output of the convolutions, [1, features, 512], computed in pieces to bound the memory.

    Each feature depends on 25 ms of audio only, so the pieces are exact.

    Args:
        encoder: ComfyUI's AUDIO_ENCODER, a wav2vec2 model, loaded onto its device.
        audio: normalised samples [n] at 16 kHz, on that device.
    """
    count = feature_count(len(audio))
    pieces = [
        (first, min(first + _CONVOLVED_FEATURES, count)) for first in range(0, count, _CONVOLVED_FEATURES)
    ]
    parts = [audio[first * HOP : (end - 1) * HOP + RECEPTIVE_FIELD] for first, end in pieces]
    return torch.cat([wav2vec2.local_features(encoder, part) for part in parts], dim=1)


def _used(samples: torch.Tensor) -> np.ndarray:
    """What the model hears of audio [channels, samples]: [samples]."""
    measured = levels.measure(samples.numpy())
    if measured.is_silent:
        return np.zeros(samples.shape[-1], np.float32)
    mono = samples.mean(dim=0) if measured.used_channel is None else samples[measured.used_channel].clone()
    return mono.sub_(measured.channel_offset).numpy() if measured.channel_offset else mono.numpy()


def _warnings(measured: levels.Levels, rate: int, batch: int, silent_on_purpose: bool) -> list[str]:
    warnings = []
    if batch > 1:
        warnings.append(f"Only the first of {batch} recordings is used.")
    if measured.is_silent and not silent_on_purpose:
        warnings.append("The recording is silent: check that it is the right one.")
    if measured.damaged:
        warnings.append(
            f"{measured.damaged / rate:.3f} s of the recording are not numbers and were replaced by silence: "
            "export it again."
        )
    if measured.used_channel is not None:
        warnings.append(
            "The channels of the recording cancel out: the lips follow channel "
            f"{measured.used_channel + 1} alone. "
            "Invert the phase of the other one."
        )
    if measured.peak > levels.LOUD_PEAK:
        warnings.append(
            f"The recording is {20 * np.log10(measured.peak):.0f} dB louder than full scale: the clip has it "
            "at full scale."
        )
    return warnings


def _pad(mono: np.ndarray, lead_in: int, frames: int) -> np.ndarray:
    """Audio [samples] at 16 kHz, shifted by the lead-in, padded or cut to exactly `frames` frames."""
    before = max(0, lead_in) * _SAMPLES_PER_FRAME
    audio = mono[max(0, -lead_in) * _SAMPLES_PER_FRAME :][: frames * _SAMPLES_PER_FRAME - before]
    return np.pad(audio, (before, frames * _SAMPLES_PER_FRAME - before - len(audio)))


def _as_float(samples: torch.Tensor) -> torch.Tensor:
    if samples.is_floating_point():
        return samples.float()
    if samples.dtype == torch.uint8:
        return (samples.float() - 128) / 128
    return samples.float() / torch.iinfo(samples.dtype).max


def _encode_window(encoder: Any, audio: torch.Tensor, start: int, end: int) -> torch.Tensor:
    """Features of frames `start` to `end` of normalised audio [samples]: [1, layers, dimensions, frames]."""
    device = wav2vec2.load(encoder)
    first = max(0, start - _OVERLAP_FRAMES) * _SAMPLES_PER_FRAME
    last = (end + _OVERLAP_FRAMES) * _SAMPLES_PER_FRAME
    features = _hidden_states(encoder, audio[first:last].to(device)).float()
    return _resample_to_frames(features, first // HOP, feature_count(len(audio)), start, end)


def _hidden_states(encoder: Any, audio: torch.Tensor) -> torch.Tensor:
    return wav2vec2.hidden_states(encoder, convolve(encoder, audio))


def _resample_to_frames(
    features: torch.Tensor, offset: int, count: int, start: int, end: int
) -> torch.Tensor:
    """Resamples 50 features a second to 30, then picks the nearest one for each frame, at 16 a second.

    Args:
        features: float [layers, features, dimensions], a part of all features of the audio.
        offset: index of the first of them among all.
        count: how many there are in all.
        start, end: the range of frames.

    Returns:
        float32 [1, layers, dimensions, end - start] on the CPU; zeros after the last feature.
    """
    length = count * _RESAMPLED_RATE // _FEATURE_RATE
    index = torch.round(torch.arange(start, end) * (_RESAMPLED_RATE / timeline.FPS)).long()
    inside = index < length
    # Linear interpolation with aligned corners: 0 to length - 1 are spread over 0 to count - 1, in 32 bits
    # like the torch call in the official code.
    position = index[inside].float() * torch.tensor((count - 1) / max(1, length - 1))
    left = position.long()
    weight = (position - left).to(features)[:, None]
    lower, upper = ((left + step).clamp(max=count - 1) - offset for step in (0, 1))
    resampled = torch.zeros(features.shape[0], features.shape[2], end - start)
    mixed = (1 - weight) * features[:, lower] + weight * features[:, upper]
    resampled[:, :, inside] = mixed.transpose(1, 2).cpu()
    return resampled.unsqueeze(0)
