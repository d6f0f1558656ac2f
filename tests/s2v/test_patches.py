"""The patched model computes what the official one does, and only while the patched clone is in use.

The expected values are derived here from the official formulas, independently of the code under test.
"""

from __future__ import annotations

import gc
import math
from typing import Any

import numpy as np
import pytest
import torch
from comfy.ldm.wan.model import CausalAudioEncoder, FramePackMotioner, repeat_e

from story_studio.s2v import patches, sampling, timeline
from tests.s2v.tools import (
    LATENTS,
    Calls,
    forward,
    inputs,
    official_sigmas,
    random,
    relative,
    time_embedding,
    use,
)
from tests.tolerance import assert_same


def first_latent_affected(encoder: Any) -> list[int]:
    """For each of 80 frames, the first latent that changes when only the feature of that frame changes."""
    features = random(1, 25, 32, 80).repeat(81, 1, 1, 1)
    for frame in range(80):
        features[frame, :, :, frame] += 3
    changed = torch.zeros(80, LATENTS, dtype=torch.bool)
    for part in encoder(features):
        assert part.shape[:2] == (81, LATENTS)
        changed |= (part[:80] - part[80]).flatten(2).abs().amax(2) > 1e-4
    return changed.int().argmax(1).tolist()


def test_a_latent_depends_on_audio_up_to_its_last_frame(model: Any) -> None:
    # 0, 0, 0, 0, 1, 1, ...: feature 4j + 3 reaches latent j, feature 4j + 4 does not.
    patched = first_latent_affected(use(patches.patch_to_official(model)).casual_audio_encoder)
    assert patched == [frame // 4 for frame in range(80)]
    # In ComfyUI latent j depends on audio up to its first frame only, and frames 77 to 79 have no effect.
    stock = first_latent_affected(use(model).casual_audio_encoder)
    assert stock == [math.ceil(frame / 4) for frame in range(77)] + [0, 0, 0]


@pytest.mark.parametrize("frames", [4, 80])
def test_73_copies_of_the_first_feature_are_prepended(model: Any, frames: int) -> None:
    features = random(2, 25, 32, frames, seed=6)
    prepended = torch.cat([features[..., 0:1]] * 73 + [features], dim=-1)
    by_hand = [part[:, 19:] for part in use(model).casual_audio_encoder(prepended)]
    ours = use(patches.patch_to_official(model)).casual_audio_encoder(features)
    assert len(ours) == 2
    for part, expected in zip(ours, by_hand, strict=True):
        assert part.shape[1] == frames // 4
        assert_same(part, expected, torch.float32, dim=1)


def grid(times: list[int], rows: list[int], columns: list[int]) -> np.ndarray:
    return np.array([(t, y, x) for t in times for y in rows for x in columns], dtype=np.float64)


def official_motion(height: int, width: int) -> np.ndarray:
    """Time, row and column of the motion tokens: of 1 latent, of 2 at half resolution, of 16 at a quarter.

    A group that starts b latents back and is t latents long is at -numpy.linspace(b, b - t + 1, count),
    truncated; its rows and columns are spread over those of a frame in the same way.
    """
    groups = []
    for back, length, count, side in ((1, 1, 1, 2), (3, 2, 1, 4), (19, 16, 4, 8)):
        times = -np.linspace(back, back - length + 1, count).astype(int)
        rows = np.linspace(0, height // 2 - 1, height // side).astype(int)
        columns = np.linspace(0, width // 2 - 1, width // side).astype(int)
        groups.append(grid(list(times), list(rows), list(columns)))
    return np.concatenate(groups)


def positions(rotations: torch.Tensor) -> np.ndarray:
    """The positions [tokens, 3] behind the rotary embedding [1, tokens, 1, 64, 2, 2].

    Of 64 channel pairs, 22 rotate with time, 21 with the row and 21 with the column; the slowest of n pairs
    rotates by 10000 ** -((n - 1) / n) per position, less than half a turn in all.
    """
    cosine, sine = rotations[0, :, 0, :, 0, 0].double(), rotations[0, :, 0, :, 1, 0].double()
    angles = torch.atan2(sine, cosine)
    last = (21, 42, 63)
    pairs = (22, 21, 21)
    recovered = [angles[:, i] * 10000 ** ((n - 1) / n) for i, n in zip(last, pairs, strict=True)]
    return torch.stack(recovered, dim=1).numpy()


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 24), (16, 8)])
def test_all_tokens_are_at_the_official_positions(model: Any, height: int, width: int) -> None:
    """As attention sees them: latents at times 0 to 19, the reference at 30, motion before 0."""
    patched = patches.patch_to_official(model)
    with Calls(use(patched).blocks[0].self_attn) as calls:
        forward(patched, conditions=inputs(height, width))
    rows, columns = list(range(height // 2)), list(range(width // 2))
    expected = [grid(list(range(LATENTS)), rows, columns), grid([30], rows, columns)]
    actual = positions(calls.args[0][1])
    np.testing.assert_allclose(actual, np.concatenate([*expected, official_motion(height, width)]), atol=1e-3)


@pytest.mark.parametrize(
    ("width", "height"), [(64, 64), (832, 448), (448, 832), (576, 576), (1280, 704), (704, 1280)]
)
def test_motion_tokens_are_at_the_official_positions(model: Any, width: int, height: int) -> None:
    latents = random(1, 16, 19, height // 8, width // 8, seed=7)
    stock_tokens, stock = use(model).frame_packer(latents, use(model))
    network = use(patches.patch_to_official(model))
    tokens, rotations = network.frame_packer(latents, network)
    expected = official_motion(height // 8, width // 8)
    assert_same(tokens, stock_tokens, torch.float32, dim=1)
    assert rotations.shape == stock.shape and rotations.dtype == stock.dtype
    np.testing.assert_allclose(positions(rotations), expected, atol=1e-3)
    # ComfyUI places its four oldest tokens at consecutive times, and between the rows and columns of a frame.
    assert sorted(set(positions(stock)[:, 0].round().astype(int))) == [-19, -18, -17, -16, -3, -1]
    assert sorted(set(expected[:, 0].astype(int))) == [-19, -14, -9, -4, -3, -1]


def test_positions_are_rounded_like_numpy_at_every_size() -> None:
    # One side is enough, because the other is computed in the same way.
    for height in range(8, 513, 8):
        ours = patches._motion_positions(height, 8)[0].numpy()
        np.testing.assert_array_equal(ours, official_motion(height, 8))


@pytest.mark.parametrize("shift", [3.0, 8.0])
@pytest.mark.parametrize("steps", [4, 20, 40])
def test_noise_levels_and_timesteps_are_official(steps: int, shift: float) -> None:
    ours = sampling.sigmas(steps, shift)
    official = official_sigmas(steps, shift)
    np.testing.assert_allclose(ours.numpy(), official, atol=1e-6)
    assert ours.dtype == torch.float32
    # Rounding to 32 bits must not push a timestep across an integer.
    assert (ours * 1000).floor().int().tolist() == (official * 1000).astype(np.int64).tolist()


def test_noise_levels_by_hand() -> None:
    four = [2.997 / 2.998, 2.24775 / 2.4985, 1.4985 / 1.999, 0.74925 / 1.4995, 0]
    assert sampling.sigmas(4, 3.0).tolist() == pytest.approx(four, abs=1e-6)


@pytest.mark.parametrize("timestep", [999.67, 700.4, 700.0, 0.9])
def test_timesteps_are_truncated(model: Any, timestep: float) -> None:
    patched = patches.patch_to_official(model)
    with Calls(use(patched).time_embedding) as calls:
        forward(patched, timestep, inputs(motion=False))
    # The reference has timestep 0 because it is free of noise.
    expected = time_embedding([int(timestep)] * LATENTS + [0])
    torch.testing.assert_close(calls.args[0][0], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("area", [832 * 480, 1280 * 720])
def test_only_motion_and_reference_tokens_are_free_of_noise(area: int) -> None:
    """ComfyUI gives each timestep equally many tokens: correct at the sizes of this pack, wrong at others."""
    shapes = [(16, 9), (9, 16), (1, 1), (4, 3), (3, 4), (3, 2), (21, 9), (9, 21), (5, 4), (2, 1)]
    sizes = {timeline.fit_size(a * 400, b * 400, area) for a, b in shapes}
    assert len(sizes) >= 6
    for size in sizes:
        assert size[0] % 64 == size[1] % 64 == 0
        assert noisy_tokens(*size) == (LATENTS * size[0] * size[1] // 256, 0), size
    for width, height in ((720, 720), (592, 592), (816, 464), (768, 432), (624, 624)):
        own = LATENTS * (width // 16) * (height // 16)
        assert noisy_tokens(width, height) != (own, 0)


def noisy_tokens(width: int, height: int) -> tuple[int, int]:
    """How many of the chunk's own tokens, and of the others, count as noisy if the chunk has motion."""
    rows, columns = height // 8, width // 8
    latent = (rows // 2) * (columns // 2)
    others = latent + latent + (rows // 4) * (columns // 4) + 4 * (rows // 8) * (columns // 8)
    noise = torch.tensor([1.0] * 2 * LATENTS + [0.0] * 5).reshape(1, -1, 1)
    assigned = repeat_e(noise, torch.empty(1, LATENTS * latent + others, 1))[0, :, 0]
    return int(assigned[: LATENTS * latent].sum()), int(assigned[LATENTS * latent :].sum())


def test_the_network_modulates_motion_and_reference_as_free_of_noise(model: Any) -> None:
    with Calls(use(model).blocks[0]) as calls:
        forward(model, conditions=inputs(8, 16))
    x, modulation = calls.args[0][0], calls.kwargs[0]["e"]
    own = LATENTS * 4 * 8
    tokens = repeat_e(modulation.flatten(2), x)
    assert tokens.shape[1] == x.shape[1] == own + 32 + 32 + 8 + 8
    torch.testing.assert_close(tokens[:, :own], tokens[:, :1].expand(-1, own, -1))
    torch.testing.assert_close(tokens[:, own:], tokens[:, -1:].expand(-1, x.shape[1] - own, -1))
    assert relative(tokens[:, 0], tokens[:, -1]) > 0.1


def test_stock_behaviour_returns_when_another_model_is_used(model: Any) -> None:
    before = forward(model)
    patched = patches.patch_to_official(model)
    assert torch.equal(forward(model), before), "patching a clone changes nothing"
    changed = forward(patched)
    assert relative(changed, before) > 0.05
    assert torch.equal(forward(model), before), "another prompt that uses the same model"
    assert torch.equal(forward(patched), changed)
    assert torch.equal(forward(model.clone()), before), "another clone of it"
    forward(patched)
    patched.detach()
    network = patched.model.diffusion_model
    assert (type(network.frame_packer), type(network.casual_audio_encoder)) == (
        FramePackMotioner,
        CausalAudioEncoder,
    )


def test_stock_behaviour_returns_when_the_clone_is_deleted(model: Any) -> None:
    before = forward(model)
    patched = patches.patch_to_official(model)
    forward(patched)
    del patched
    gc.collect()
    assert torch.equal(forward(model), before)


def test_a_patched_model_is_not_patched_again(model: Any) -> None:
    once = patches.patch_to_official(model)
    twice = patches.patch_to_official(once)
    assert twice is not once
    assert torch.equal(forward(twice), forward(once))


def test_a_clone_made_while_another_is_in_use_is_patched_once(model: Any) -> None:
    first = patches.patch_to_official(model)
    expected = forward(first)
    second = patches.patch_to_official(model)
    assert torch.equal(forward(second), expected)


def test_switching_between_both_loads_no_weights(model: Any) -> None:
    patched = patches.patch_to_official(model)
    assert patched.model is model.model
    assert patched.patches_uuid == model.patches_uuid
    assert (
        patched.object_patches.keys() - model.object_patches.keys()
        == {
            "diffusion_model.casual_audio_encoder.__class__",
            "diffusion_model.frame_packer.__class__",
            "model_sampling",
        }
        - model.object_patches.keys()
    )


def test_each_patch_has_an_effect(model: Any) -> None:
    """Each alone: the audio always, the packer with motion, truncation only between integers."""
    patched = patches.patch_to_official(model)
    without_audio = {name: value for name, value in inputs().items() if name != "audio_embed"}
    without_motion = {name: value for name, value in without_audio.items() if name != "reference_motion"}
    assert relative(forward(patched, 700.0), forward(model, 700.0)) > 0.05
    assert 1e-4 < relative(forward(patched, 700.0, without_audio), forward(model, 700.0, without_audio)) < 0.1
    assert (
        1e-6 < relative(forward(patched, 700.4, without_motion), forward(model, 700.4, without_motion)) < 0.05
    )
    assert torch.equal(forward(patched, 700.0, without_motion), forward(model, 700.0, without_motion))


def test_the_patched_modules_can_be_compiled(model: Any) -> None:
    """As full graphs, and with the same positions."""
    network = use(patches.patch_to_official(model))
    features, latents = random(1, 25, 32, 80), random(1, 16, 19, 24, 16)
    for module, args in (
        (network.casual_audio_encoder, (features,)),
        (network.frame_packer, (latents, network)),
    ):
        compiled = torch.compile(module, backend="eager", fullgraph=True)
        for ours, plain in zip(compiled(*args), module(*args), strict=True):
            torch.testing.assert_close(ours, plain)
