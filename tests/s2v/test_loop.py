"""The chunk loop calls the network as the official one does, also with a MODEL that other nodes patched."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import comfy.sd
import numpy as np
import torch
from comfy_extras.nodes_easycache import EasyCacheNode
from comfy_extras.nodes_model_advanced import ModelSamplingSD3

from story_studio.s2v import patches, sampling
from tests.s2v.tools import (
    LATENTS,
    Calls,
    SampleClip,
    forward,
    official_sigmas,
    random,
    relative,
    time_embedding,
)


def test_the_network_gets_the_inputs_of_the_official_loop(model: Any, sample_clip: SampleClip) -> None:
    features = random(1, 25, 32, 160, seed=10)
    record = sample_clip(model, frames=80, steps=2, seed=40, features=features)
    assert len(record.latents) == 2
    chunks = [record.calls[start : start + 4] for start in (0, 4)]
    for index, calls in enumerate(chunks):
        assert sorted(call.negative for call in calls) == [False, False, True, True]
        # The seed is that of chunk 0 plus the chunk's index.
        noise = torch.randn(1, 16, 20, 8, 8, generator=torch.Generator().manual_seed(40 + index))
        for call in calls[:2]:
            torch.testing.assert_close(call.x, noise, rtol=1e-5, atol=1e-5)
        for call in calls:
            assert call.x.shape[2] == 20, "at 20 latents the reference is at position 30"
            # Without a pose video the control is zeros, to which the convolution adds its bias.
            assert call.conditions["control_video"].shape == call.x.shape
            assert call.conditions["control_video"].abs().max() < 1e-5
            assert call.conditions["reference_latent"].shape == (1, 16, 1, 8, 8)
            assert ("reference_motion" in call.conditions) == (index > 0)
            assert index == 0 or call.conditions["reference_motion"].shape == (1, 16, 19, 8, 8)
            audio = features[:, :, :, 80 * index : 80 * index + 80]
            assert torch.equal(
                call.conditions["audio_embed"], torch.zeros_like(audio) if call.negative else audio
            )


def test_the_loop_samples_at_the_official_integer_timesteps(model: Any, sample_clip: SampleClip) -> None:
    with Calls(model.model.diffusion_model.time_embedding) as calls:
        sample_clip(model, steps=4)
    timesteps = (1000 * official_sigmas(4, 3.0)[:4]).astype(np.int64)
    assert timesteps.tolist() == [999, 899, 749, 499]
    # Both prompts may come in one batch, so a step has one row or two of 20 latents and the reference.
    rows = torch.cat([args[0] for args in calls.args]).reshape(4, 2, LATENTS + 1, 256)
    for row, timestep in zip(rows, timesteps, strict=True):
        expected = time_embedding([timestep] * LATENTS + [0]).expand(2, -1, -1)
        torch.testing.assert_close(row, expected, atol=1e-4, rtol=0)


def test_a_prompt_is_cut_to_512_tokens(model: Any, clip: Any, vae: Any, image: Any) -> None:
    long, short = (
        clip.encode_from_tokens_scheduled(clip.tokenize("a person talks " * count)) for count in (40, 1)
    )
    assert long[0][0].shape[1] > 512 == short[0][0].shape[1]
    settings = sampling.Settings(steps=1, cfg=4.5, seed=7)
    with Calls(model.model.diffusion_model.text_embedding) as calls:
        features = [torch.zeros(1, 25, 32, 80)]
        list(sampling.sample_clip(model, long, short, vae, features, image, 1, settings, lambda *_: None))
    assert {args[0].shape[1] for args in calls.args} == {512}


def test_the_loop_does_not_change_the_model(model: Any, sample_clip: SampleClip) -> None:
    before = forward(model)
    sample_clip(model)
    assert torch.equal(forward(model), before)


def test_a_lora_has_an_effect(model: Any, sample_clip: SampleClip, lora: dict[str, torch.Tensor]) -> None:
    plain = sample_clip(model).latents[0]
    with_lora: Any = comfy.sd.load_lora_for_models(model, None, lora, 1.0, 0)[0]
    changed = sample_clip(with_lora).latents[0]
    assert relative(changed, plain) > 0.01
    # The patches take effect with the LoRA, too.
    assert relative(forward(patches.patch_to_official(with_lora)), forward(with_lora)) > 0.05
    torch.testing.assert_close(sample_clip(model).latents[0], plain)


def test_easycache_skips_steps(model: Any, sample_clip: SampleClip) -> None:
    cached, *_ = EasyCacheNode.execute(model, 3.0, 0.15, 0.95, False).args
    runs, latents = [], []
    for patched in (model, cached, cached):
        with Calls(model.model.diffusion_model.time_embedding) as calls:
            latents.append(sample_clip(patched, steps=6).latents[0])
        runs.append(len(calls.args))
    assert runs[1] == runs[2] < runs[0]
    assert torch.isfinite(latents[1]).all() and relative(latents[1], latents[0]) > 1e-4
    assert torch.equal(latents[1], latents[2]), "its cache does not survive a clip"
    assert torch.equal(sample_clip(model, steps=6).latents[0], latents[0])


def test_a_shift_set_by_another_node_sets_the_noise_levels(model: Any, sample_clip: SampleClip) -> None:
    shifted = ModelSamplingSD3().patch(model, 8.0)[0]
    calls = sample_clip(shifted, steps=4).calls
    timesteps = [float(call.timestep) for call in calls if not call.negative]
    np.testing.assert_array_equal(timesteps, np.floor(1000 * official_sigmas(4, 8.0)[:4]))
