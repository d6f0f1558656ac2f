"""Without the patches our loop is ComfyUI's own chain: nothing but what is meant to differ differs.

The chain is WanSoundImageToVideo and what the custom KSampler calls, with unmodified code. Both sides get the
same prompts, picture, seed, sampler and noise levels (the stock ones differ, see test_unipc.py), and the same
wav2vec2 features: our silent lead-in belongs to the sound, not to the loop, so it is left out here.

Then the network of the first chunk is given the same tensors by both, to float tolerance, and the chunk's
latents are equal. How they become pictures is meant to differ, and so is what the second chunk continues.
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


def stock(watch: Callable[[Any], Any], model: Any, prompts: Any, vae: Any, picture: torch.Tensor) -> Any:
    """What the stock nodes sample for the first chunk."""
    watched, record = watch(model)
    encoded = {"encoded_audio_all_layers": [layer.unsqueeze(0) for layer in FEATURES]}
    first, second = prompts
    positive, negative, empty = WanSoundImageToVideo.execute(
        first, second, vae, 64, 64, length=77, batch_size=1, ref_image=picture, audio_encoder_output=encoded
    ).args
    comfy.sample.sample_custom(
        watched,
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


def ours(talk: Callable[..., Any], model: Any) -> Any:
    """What our loop samples for a clip of one chunk."""
    heard = audio._at_pictures(FEATURES, 0, 250, 0, 80)
    return talk(model, frames=77, steps=STEPS, seed=SEED, heard=heard)


def same_given(name: str, mine: Any, theirs: Any) -> None:
    if name == "control_video":
        # Zeros, up to rounding, have no norm to compare with.
        torch.testing.assert_close(mine.given[name], theirs.given[name], rtol=0, atol=1e-5)
    else:
        assert_same(mine.given[name], theirs.given[name], torch.float32)


def test_without_the_patches_the_first_chunk_is_the_stock_one(
    model: Any, watch: Any, talk: Any, prompts: Any, vae: Any, picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patches, "faithful", lambda model: model)
    expected, found = stock(watch, model, prompts, vae, picture), ours(talk, model)
    assert len(found.calls) == len(expected.calls) == 2 * STEPS
    for mine, theirs in zip(found.calls, expected.calls, strict=True):
        assert mine.negative == theirs.negative
        assert torch.equal(mine.timestep, theirs.timestep)
        assert (
            mine.given.keys() == theirs.given.keys() >= {"audio_embed", "control_video", "reference_latent"}
        )
        for name in mine.given:
            same_given(name, mine, theirs)
        assert_same(mine.x, theirs.x, torch.float32)
    for mine, theirs in zip(found.latents, expected.latents, strict=True):
        assert_same(mine, theirs, torch.float32)


def test_the_patches_are_what_differs(
    model: Any, watch: Any, talk: Any, prompts: Any, vae: Any, picture: Any
) -> None:
    """The same comparison with the patches on: they are in the loop, and far above the tolerance."""
    expected, found = stock(watch, model, prompts, vae, picture), ours(talk, model)
    for mine, theirs in zip(found.calls[:2], expected.calls[:2], strict=True):
        assert_same(mine.x, theirs.x, torch.float32)
        for name in theirs.given:
            same_given(name, mine, theirs)
    assert difference(found.latents[0], expected.latents[0]) > 100 * tolerance(torch.float32)
