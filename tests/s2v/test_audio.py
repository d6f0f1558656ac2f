"""Audio features: their alignment with the frames, and independence of the windows they are encoded in."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

# isort: split
import comfy.audio_encoders.audio_encoders as audio_encoders
import comfy.sd  # imports what the audio encoders rely on
import comfy.utils
from comfy_extras.nodes_wan import get_audio_embed_bucket_fps, linear_interpolation

from story_studio.s2v import audio, timeline
from story_studio.story import levels


def tone(seconds: float, rate: int) -> torch.Tensor:
    time = torch.arange(round(seconds * rate)) / rate
    return (0.3 * torch.sin(2 * torch.pi * 220 * time) * torch.sin(2 * torch.pi * 2 * time))[None]


@pytest.mark.parametrize("lead_in", [timeline.LEAD_IN_FRAMES, timeline.START_IMAGE_LEAD_IN_FRAMES])
@pytest.mark.parametrize("seconds", [0.2, 1.0, 4.8125, 5.0, 12.3])
def test_every_frame_is_aligned_with_its_audio(lead_in: int, seconds: float) -> None:
    """With a ramp as audio, frame i has the sample at i / 16 s."""
    samples = np.arange(round(seconds * 16_000), dtype=np.float32)
    frames = timeline.frame_count(len(samples), 16_000)
    total = timeline.chunk_count(frames, lead_in) * timeline.CHUNK_FRAMES
    padded = audio._pad(samples, lead_in, total).reshape(total, 1000)
    assert padded.shape[0] == total
    for frame in range(max(0, -lead_in), frames - 1):
        assert padded[frame + lead_in][0] == frame * 1000
    assert not padded[: max(0, lead_in)].any()
    assert not padded[frames + lead_in :].any()


def test_features_are_sampled_at_the_official_times() -> None:
    """Where each feature holds its own time, frame i gets round(30 * i / 16) / 30 s."""
    count = 50 * 10 - 1
    features = (torch.arange(count) / 50.0).expand(25, 1, count).movedim(-1, 1)
    parts = [
        audio._resample_to_frames(
            features[:, max(0, start * 3 - 5) :], max(0, start * 3 - 5), count, start, start + 80
        )
        for start in (0, 80)
    ]
    resampled = torch.cat(parts, dim=-1)[0, 0, 0]
    length = int(count / 50 * 30)
    for frame in range(160):
        index = int(np.round(frame * 30 / 16))
        # Interpolation with aligned corners maps index 0..length-1 onto 0..count-1.
        expected = index * (count - 1) / (length - 1) / 50 if index < length else 0.0
        assert resampled[frame] == pytest.approx(expected, abs=1e-4)
        assert abs(float(resampled[frame]) - frame / 16) < 0.05


@pytest.fixture(scope="module")
def encoder(models: Path):
    weights = comfy.utils.load_torch_file(
        str(models / "audio_encoders" / "wav2vec2_large_english_fp16.safetensors")
    )
    model = audio_encoders.AudioEncoderModel(
        {"model_type": "wav2vec2", "embed_dim": 32, "num_heads": 16, "num_layers": 24}
    )
    model.load_sd(weights)
    return model


def test_features_equal_those_of_comfyui(encoder) -> None:
    """Without lead-in and padding, each frame gets what ComfyUI's encoder and bucketing give it."""
    samples = tone(5.0, 16_000)
    with torch.inference_mode():
        stock = torch.cat(encoder.encode_audio(samples[None], 16_000)["encoded_audio_all_layers"])
        bucketed = linear_interpolation(stock.float().cpu(), 50, 30)
        buckets, _ = get_audio_embed_bucket_fps(bucketed, fps=16, batch_frames=80, m=0, video_rate=30)
        normal = (samples[0] - samples.mean()) / torch.sqrt(samples.var() + 1e-7)
        ours = audio._encode_window(encoder, normal, 0, 80)
    theirs = buckets.reshape(-1, *buckets.shape[-2:])[:80].permute(1, 2, 0)
    assert ours.shape[1:] == theirs.shape
    assert torch.allclose(ours[0], theirs, atol=1e-4)


def test_windows_are_encoded_when_needed_and_exact_up_to_the_attention(
    encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.inference_mode():
        whole = list(audio.encode_audio(encoder, tone(24.0, 16_000), 16_000, 384))
        assert len(whole) == 5
        seconds = []
        encode = audio._hidden_states
        monkeypatch.setattr(
            audio,
            "_hidden_states",
            lambda model, samples: seconds.append(len(samples) / 16_000) or encode(model, samples),
        )
        # 10 s instead of 40: the cost of attention is quadratic.
        monkeypatch.setattr(audio, "_WINDOW_FRAMES", 160)
        parts = []
        for index, part in enumerate(audio.encode_audio(encoder, tone(24.0, 16_000), 16_000, 384)):
            assert len(seconds) == index // 2 + 1
            parts.append(part)
    # Each with 5 s of context on both sides; the last window is padded.
    assert seconds == [10 + 5, 5 + 10 + 5, 5 + 5]
    assert [part.shape for part in parts] == [whole[0].shape] * 5
    # Before the first transformer layer a feature depends on its neighbours only, so windows are exact there.
    for part, same in zip(parts, whole, strict=True):
        assert torch.allclose(part[:, 0], same[:, 0], atol=2e-3)


def test_noise_below_the_threshold_is_encoded_as_silence(encoder) -> None:
    noise = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0)) * 1e-4
    with torch.inference_mode():
        (of_noise,) = audio.encode_audio(encoder, noise, 16_000, 16)
        (of_zeros,) = audio.encode_audio(encoder, torch.zeros(1, 16_000), 16_000, 16)
    assert levels.measure(noise.numpy()).is_silent
    assert torch.equal(of_noise, of_zeros)


def features(encoder: Any, *channels: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat(list(audio.encode_audio(encoder, torch.cat(channels), 16_000, 16)), dim=-1)


@pytest.mark.parametrize(
    ("gains", "heard"),
    [((1, -1), 0), ((0.9, -1), 1), ((1, -1, 1, -1), 0), ((1, -0.5), None), ((0, 1), None), ((1, 1), None)],
)
def test_channels_that_cancel_out_are_not_mixed(
    gains: tuple[float, ...], heard: int | None, encoder: Any
) -> None:
    """In stereo of opposite phase the loudest channel is encoded; all else is the mean, to the bit."""
    voice = tone(1.0, 16_000)
    channels = [voice * gain for gain in gains]
    expected = torch.cat(channels).mean(dim=0, keepdim=True) if heard is None else channels[heard]
    assert torch.equal(features(encoder, *channels), features(encoder, expected))
    assert features(encoder, *channels).abs().sum() != features(encoder, voice * 0).abs().sum()


def test_the_padding_of_audio_with_an_offset_is_silence(encoder: Any) -> None:
    voice = tone(1.0, 16_000)
    assert torch.allclose(features(encoder, voice + 0.3), features(encoder, voice), atol=1e-3)
    # An offset that recordings normally have changes nothing in what is computed.
    assert not levels.measure((voice + 0.001).numpy()).offsets.any()


def test_ordinary_audio_is_normalised_as_in_the_official_code(encoder: Any) -> None:
    """To the bit, because finished clips of earlier versions were made like that."""
    stereo = torch.cat([tone(1.0, 16_000), 0.7 * tone(1.0, 16_000).roll(40, 1)]) + 0.001
    mono = stereo.mean(dim=0).numpy()
    seen = []
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        encode = audio._hidden_states
        patch.setattr(audio, "_hidden_states", lambda model, part: seen.append(part) or encode(model, part))
        list(audio.encode_audio(encoder, stereo, 16_000, 16))
    deviation = float(np.sqrt(mono.var() + 1e-7))
    expected = torch.from_numpy(mono.copy()).sub_(float(mono.mean())).div_(deviation)
    assert torch.equal(seen[0][3000:19_000], expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_damaged_samples_are_silence(value: float) -> None:
    samples = tone(1.0, 16_000)[None].repeat(1, 2, 1)
    damaged = samples.clone()
    damaged[0, 1, 5000:6000] = value
    voice = audio.read_voice({"waveform": damaged, "sample_rate": 16_000})
    samples[0, 1, 5000:6000] = 0
    assert torch.equal(voice.samples, samples[0])
    # The tensor belongs to other nodes too.
    assert not torch.equal(damaged, samples)
    assert len(voice.warnings) == 1
    assert "0.062 s of the recording are not numbers" in voice.warnings[0]


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (
            lambda voice: voice.repeat(1, 2, 1) * torch.tensor([[1.0], [-1.0]]),
            "channels of the recording cancel",
        ),
        (lambda voice: voice * 0, "is silent"),
        (lambda voice: voice * 0 + 0.5, "is silent"),
        (lambda voice: voice * 2**15, "80 dB louder than full scale"),
        (lambda voice: voice.repeat(3, 1, 1), "Only the first of 3 recordings"),
        (lambda voice: voice, None),
        (lambda voice: voice * 4, None),
        (lambda voice: voice + 0.2, None),
    ],
)
def test_what_the_user_should_know_is_a_warning(
    change: Callable[[torch.Tensor], torch.Tensor], warning: str | None
) -> None:
    warnings = audio.read_voice({"waveform": change(tone(1.0, 16_000)[None]), "sample_rate": 16_000}).warnings
    assert len(warnings) == (warning is not None)
    assert not warning or warning in warnings[0]


def test_validation_costs_no_copy() -> None:
    """Three minutes of stereo are 66 MB."""
    samples = 0.1 * torch.randn(1, 2, 180 * 48_000, generator=torch.Generator().manual_seed(0))
    tracemalloc.start()
    try:
        voice = audio.read_voice({"waveform": samples, "sample_rate": 48_000})
        assert voice.samples.data_ptr() == samples.data_ptr()
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("dtype", "scale"), [(torch.uint8, None), (torch.int16, 2**15), (torch.int32, 2**31), (torch.float64, 1)]
)
def test_samples_of_any_dtype_are_converted_to_floats(dtype: torch.dtype, scale: float | None) -> None:
    half = 192 if scale is None else 0.5 * scale
    constant = torch.full((1, 2, 1000), half, dtype=dtype)
    samples = audio.read_voice({"waveform": constant, "sample_rate": 16_000}).samples
    assert samples.dtype == torch.float32
    assert samples.mean().item() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (torch.zeros(1, 1, 0), "is empty"),
        (torch.zeros(1, 0, 10), "is empty"),
        (torch.full((1, 1, 1000), float("nan")), "not numbers"),
        (torch.full((1, 1, 1000), float("inf")), "not numbers"),
        (torch.full((1, 1, 1), 0.5), r"lasts 0\.000 s, less than a frame"),
        (torch.full((1, 2, 999), 0.5), r"lasts 0\.062 s, less than a frame"),
    ],
)
def test_broken_audio_is_refused(samples: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        audio.read_voice({"waveform": samples, "sample_rate": 16_000})
