"""What the model hears: which sound belongs to which picture, and that windows change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

# isort: split
import comfy.audio_encoders.audio_encoders as audio_encoders
import comfy.sd  # brings what the audio encoders take for granted
import comfy.utils
from comfy_extras.nodes_wan import get_audio_embed_bucket_fps, linear_interpolation

from story_studio.s2v import audio, timeline


def tone(seconds: float, rate: int) -> torch.Tensor:
    time = torch.arange(round(seconds * rate)) / rate
    return (0.3 * torch.sin(2 * torch.pi * 220 * time) * torch.sin(2 * torch.pi * 2 * time))[None]


@pytest.mark.parametrize("lead", [timeline.LEAD, timeline.LATE])
@pytest.mark.parametrize("seconds", [0.2, 1.0, 4.8125, 5.0, 12.3])
def test_every_picture_has_its_own_sound(lead: int, seconds: float) -> None:
    """A ramp instead of sound: at picture i stands the recording's time i / 16 s."""
    samples = np.arange(round(seconds * 16_000), dtype=np.float32)
    frames = timeline.frame_count(len(samples), 16_000)
    pictures = timeline.chunk_count(frames, lead) * timeline.PICTURES
    led_in = audio._led_in(samples, lead, pictures).reshape(pictures, 1000)
    assert led_in.shape[0] == pictures
    for number in range(max(0, -lead), frames - 1):
        assert led_in[number + lead][0] == number * 1000
    assert not led_in[: max(0, lead)].any()
    assert not led_in[frames + lead :].any()


def test_features_are_those_of_the_official_times() -> None:
    """Of features that hold their own time, picture i gets the one at round(30 * i / 16) / 30 s."""
    count = 50 * 10 - 1
    features = (torch.arange(count) / 50.0).expand(25, 1, count).movedim(-1, 1)
    parts = [
        audio._at_pictures(
            features[:, max(0, start * 3 - 5) :], max(0, start * 3 - 5), count, start, start + 80
        )
        for start in (0, 80)
    ]
    heard = torch.cat(parts, dim=-1)[0, 0, 0]
    length = int(count / 50 * 30)
    for picture in range(160):
        index = int(np.round(picture * 30 / 16))
        # Interpolation with aligned corners maps index 0..length-1 onto 0..count-1.
        expected = index * (count - 1) / (length - 1) / 50 if index < length else 0.0
        assert heard[picture] == pytest.approx(expected, abs=1e-4)
        assert abs(float(heard[picture]) - picture / 16) < 0.05


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


def test_our_features_are_comfyui_s_own(encoder) -> None:
    """Without lead-in and padding, each picture hears what ComfyUI's encoder and bucketing give it."""
    samples = tone(5.0, 16_000)
    with torch.inference_mode():
        stock = torch.cat(encoder.encode_audio(samples[None], 16_000)["encoded_audio_all_layers"])
        bucketed = linear_interpolation(stock.float().cpu(), 50, 30)
        buckets, _ = get_audio_embed_bucket_fps(bucketed, fps=16, batch_frames=80, m=0, video_rate=30)
        normal = (samples[0] - samples.mean()) / torch.sqrt(samples.var() + 1e-7)
        ours = audio._hear_window(encoder, normal, 0, 80)
    theirs = buckets.reshape(-1, *buckets.shape[-2:])[:80].permute(1, 2, 0)
    assert ours.shape[1:] == theirs.shape
    assert torch.allclose(ours[0], theirs, atol=1e-4)


def test_windows_are_exact_up_to_the_attention(encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.inference_mode():
        whole = list(audio.hear(encoder, tone(24.0, 16_000), 16_000, 384))
        monkeypatch.setattr(audio, "_WINDOW", 160)
        parts = list(audio.hear(encoder, tone(24.0, 16_000), 16_000, 384))
    assert [part.shape for part in parts] == [whole[0].shape] * 5
    # Up to the first transformer layer a feature hears its neighbours only: there windows are exact.
    for part, same in zip(parts, whole, strict=True):
        assert torch.allclose(part[:, 0], same[:, 0], atol=2e-3)


def test_no_more_than_a_window_is_encoded_before_it_is_asked_for(
    encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = []
    encode = audio._hidden_states
    monkeypatch.setattr(
        audio,
        "_hidden_states",
        lambda model, sound: seconds.append(len(sound) / 16_000) or encode(model, sound),
    )
    # 10 s instead of 40: what the encoder does with them grows with the square.
    monkeypatch.setattr(audio, "_WINDOW", 160)
    with torch.inference_mode():
        for index, _ in enumerate(audio.hear(encoder, tone(35.0, 16_000), 16_000, 560)):
            assert len(seconds) == index // 2 + 1
    # With what is heard beside each window, 5 s; the last one is filled up.
    assert seconds == [10 + 5, 5 + 10 + 5, 5 + 10 + 5, 5 + 10]


def test_silence_is_fed_as_silence(encoder) -> None:
    noise = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0)) * 1e-4
    with torch.inference_mode():
        (heard,) = audio.hear(encoder, noise, 16_000, 16)
        (nothing,) = audio.hear(encoder, torch.zeros(1, 16_000), 16_000, 16)
    assert audio.is_silent(noise)
    assert torch.equal(heard, nothing)


@pytest.mark.parametrize(
    ("dtype", "scale"), [(torch.uint8, None), (torch.int16, 2**15), (torch.int32, 2**31), (torch.float64, 1)]
)
def test_samples_of_all_kinds_are_brought_to_floats(dtype: torch.dtype, scale: float | None) -> None:
    half = 192 if scale is None else 0.5 * scale
    found = audio.waveform({"waveform": torch.full((1, 2, 100), half, dtype=dtype), "sample_rate": 16_000})
    assert found.dtype == torch.float32
    assert found.mean().item() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (torch.zeros(1, 1, 0), "is empty"),
        (torch.zeros(1, 0, 10), "is empty"),
        (torch.full((1, 1, 10), float("nan")), "not numbers"),
        (torch.full((1, 1, 10), float("inf")), "not numbers"),
    ],
)
def test_broken_recordings_are_refused(samples: torch.Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        audio.waveform({"waveform": samples, "sample_rate": 16_000})
