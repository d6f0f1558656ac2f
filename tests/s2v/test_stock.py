"""Without the patches, the chunk loop samples what ComfyUI's stock nodes sample.

The stock side is WanSoundImageToVideo followed by `sample_custom`, unmodified. Both sides use the same
prompts, image, seed, sampler and noise levels (the stock ones differ, see test_unipc.py), and the same
wav2vec2 features, without the silent lead-in, which the stock nodes do not have.

For the first chunk, the network's inputs and the latents are then equal to float tolerance. Decoding, and
what the second chunk continues, differ on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.sample
import pytest
import torch
from comfy_extras.nodes_wan import WanSoundImageToVideo

from story_studio.s2v import audio, patches, sampling, unipc
from tests.tolerance import assert_same, difference, tolerance

STEPS, SEED, CFG = 3, 7, 4.5
FEATURES = torch.randn(25, 250, 32, generator=torch.Generator().manual_seed(11))
"""Five seconds of wav2vec2's 25 layers: 50 features a second."""


def stock(
    record_sampling: Callable[[Any], Any], model: Any, prompts: Any, vae: Any, image: torch.Tensor
) -> Any:
    """Samples the first chunk with the stock nodes."""
    clone, record = record_sampling(model)
    encoded = {"encoded_audio_all_layers": [layer.unsqueeze(0) for layer in FEATURES]}
    first, second = prompts
    positive, negative, empty = WanSoundImageToVideo.execute(
        first, second, vae, 64, 64, length=77, batch_size=1, ref_image=image, audio_encoder_output=encoded
    ).args
    comfy.sample.sample_custom(
        clone,
        comfy.sample.prepare_noise(empty["samples"], SEED),
        CFG,
        unipc.sampler(),
        sampling.sigmas(STEPS, 3.0),
        positive,
        negative,
        empty["samples"],
        seed=SEED,
        disable_pbar=True,
    )
    return record


def ours(sample_clip: Callable[..., Any], model: Any) -> Any:
    """Samples a clip of one chunk with the chunk loop."""
    features = audio._resample_to_frames(FEATURES, 0, 250, 0, 80)
    return sample_clip(model, frames=77, steps=STEPS, seed=SEED, features=features)


def assert_same_condition(name: str, mine: Any, theirs: Any) -> None:
    if name == "control_video":
        # Zeros up to rounding have no norm to compare with.
        torch.testing.assert_close(mine.conditions[name], theirs.conditions[name], rtol=0, atol=1e-5)
    else:
        assert_same(mine.conditions[name], theirs.conditions[name], torch.float32)


def test_without_the_patches_the_first_chunk_is_the_stock_one(
    model: Any,
    record_sampling: Any,
    sample_clip: Any,
    prompts: Any,
    vae: Any,
    image: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patches, "patch_to_official", lambda model: model)
    expected = stock(record_sampling, model, prompts, vae, image)
    record = ours(sample_clip, model)
    assert len(record.calls) == len(expected.calls) == 2 * STEPS
    for mine, theirs in zip(record.calls, expected.calls, strict=True):
        assert mine.negative == theirs.negative
        assert torch.equal(mine.timestep, theirs.timestep)
        assert (
            mine.conditions.keys()
            == theirs.conditions.keys()
            >= {"audio_embed", "control_video", "reference_latent"}
        )
        for name in mine.conditions:
            assert_same_condition(name, mine, theirs)
        assert_same(mine.x, theirs.x, torch.float32)
    for mine, theirs in zip(record.latents, expected.latents, strict=True):
        assert_same(mine, theirs, torch.float32)


def test_the_patches_change_the_latents(
    model: Any, record_sampling: Any, sample_clip: Any, prompts: Any, vae: Any, image: Any
) -> None:
    """The same comparison with the patches: the difference is far above the tolerance."""
    expected = stock(record_sampling, model, prompts, vae, image)
    record = ours(sample_clip, model)
    for mine, theirs in zip(record.calls[:2], expected.calls[:2], strict=True):
        assert_same(mine.x, theirs.x, torch.float32)
        for name in theirs.conditions:
            assert_same_condition(name, mine, theirs)
    assert difference(record.latents[0], expected.latents[0]) > 100 * tolerance(torch.float32)
