"""The model computes as the official one, and only while the clone that is changed is in use.

What is expected is worked out here from the official formulas, not asked of the code under test.
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


def first_latent_that_hears(encoder: Any) -> list[int]:
    """For each of 80 pictures, the first latent that changes when only that picture's feature does."""
    features = random(1, 25, 32, 80).repeat(81, 1, 1, 1)
    for picture in range(80):
        features[picture, :, :, picture] += 3
    changed = torch.zeros(80, LATENTS, dtype=torch.bool)
    for part in encoder(features):
        assert part.shape[:2] == (81, LATENTS)
        changed |= (part[:80] - part[80]).flatten(2).abs().amax(2) > 1e-4
    return changed.int().argmax(1).tolist()


def test_a_latent_hears_up_to_its_own_last_picture(model: Any) -> None:
    # 0, 0, 0, 0, 1, 1, ...: feature 4j + 3 reaches latent j, feature 4j + 4 does not.
    assert first_latent_that_hears(use(patches.faithful(model)).casual_audio_encoder) == [
        picture // 4 for picture in range(80)
    ]
    # In ComfyUI latent j hears up to its first picture only, and picture 77 to 79 are never heard.
    stock = first_latent_that_hears(use(model).casual_audio_encoder)
    assert stock == [math.ceil(picture / 4) for picture in range(77)] + [0, 0, 0]


@pytest.mark.parametrize("pictures", [4, 80])
def test_the_sound_is_led_in_by_73_copies_of_its_first_feature(model: Any, pictures: int) -> None:
    features = random(2, 25, 32, pictures, seed=6)
    led_in = torch.cat([features[..., 0:1]] * 73 + [features], dim=-1)
    by_hand = [part[:, 19:] for part in use(model).casual_audio_encoder(led_in)]
    ours = use(patches.faithful(model)).casual_audio_encoder(features)
    assert len(ours) == 2
    for part, expected in zip(ours, by_hand, strict=True):
        assert part.shape[1] == pictures // 4
        assert_same(part, expected, torch.float32, dim=1)


def grid(times: list[int], rows: list[int], columns: list[int]) -> np.ndarray:
    return np.array([(t, y, x) for t in times for y in rows for x in columns], dtype=np.float64)


def official_motion(height: int, width: int) -> np.ndarray:
    """Time, row and column of the motion tokens: of 1 latent, of 2 at half the detail, of 16 at a quarter.

    A group that begins b latents back and is t latents long has positions numpy.linspace(b, b - t + 1, count)
    back, truncated, and as many rows and columns spread over those of the picture.
    """
    groups = []
    for back, length, count, side in ((1, 1, 1, 2), (3, 2, 1, 4), (19, 16, 4, 8)):
        times = -np.linspace(back, back - length + 1, count).astype(int)
        rows = np.linspace(0, height // 2 - 1, height // side).astype(int)
        columns = np.linspace(0, width // 2 - 1, width // side).astype(int)
        groups.append(grid(list(times), list(rows), list(columns)))
    return np.concatenate(groups)


def positions(rotations: torch.Tensor) -> np.ndarray:
    """The positions [tokens, 3] that the rotations [1, tokens, 1, 64, 2, 2] of a head stand for.

    Of 64 pairs of channels 22 turn with time, 21 with the row and 21 with the column; the slowest of n pairs
    turns by 10000 ** -((n - 1) / n) for each position, less than half a turn over all of them.
    """
    cosine, sine = rotations[0, :, 0, :, 0, 0].double(), rotations[0, :, 0, :, 1, 0].double()
    angles = torch.atan2(sine, cosine)
    last = (21, 42, 63)
    pairs = (22, 21, 21)
    found = [angles[:, i] * 10000 ** ((n - 1) / n) for i, n in zip(last, pairs, strict=True)]
    return torch.stack(found, dim=1).numpy()


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 24), (16, 8)])
def test_all_tokens_are_at_the_official_positions(model: Any, height: int, width: int) -> None:
    """Latents at times 0 to 19, the reference at 30, motion before 0: as attention gets them."""
    patched = patches.faithful(model)
    with Calls(use(patched).blocks[0].self_attn) as calls:
        forward(patched, given=inputs(height, width))
    rows, columns = list(range(height // 2)), list(range(width // 2))
    expected = [grid(list(range(LATENTS)), rows, columns), grid([30], rows, columns)]
    found = positions(calls.args[0][1])
    np.testing.assert_allclose(found, np.concatenate([*expected, official_motion(height, width)]), atol=1e-3)


@pytest.mark.parametrize(
    ("width", "height"), [(64, 64), (832, 448), (448, 832), (576, 576), (1280, 704), (704, 1280)]
)
def test_motion_tokens_are_at_the_official_positions(model: Any, width: int, height: int) -> None:
    latents = random(1, 16, 19, height // 8, width // 8, seed=7)
    stock_tokens, stock = use(model).frame_packer(latents, use(model))
    network = use(patches.faithful(model))
    tokens, rotations = network.frame_packer(latents, network)
    expected = official_motion(height // 8, width // 8)
    assert_same(tokens, stock_tokens, torch.float32, dim=1)
    assert rotations.shape == stock.shape and rotations.dtype == stock.dtype
    np.testing.assert_allclose(positions(rotations), expected, atol=1e-3)
    # ComfyUI's four oldest tokens stand one after the other, and between the picture's rows and columns.
    assert sorted(set(positions(stock)[:, 0].round().astype(int))) == [-19, -18, -17, -16, -3, -1]
    assert sorted(set(expected[:, 0].astype(int))) == [-19, -14, -9, -4, -3, -1]


def test_positions_are_rounded_as_numpy_rounds_them_at_every_size() -> None:
    # One side is enough: the other is computed alike.
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
    # Rounding to 32 bits must not carry a timestep over a whole number.
    assert (ours * 1000).floor().int().tolist() == (official * 1000).astype(np.int64).tolist()


def test_noise_levels_by_hand() -> None:
    four = [2.997 / 2.998, 2.24775 / 2.4985, 1.4985 / 1.999, 0.74925 / 1.4995, 0]
    assert sampling.sigmas(4, 3.0).tolist() == pytest.approx(four, abs=1e-6)


@pytest.mark.parametrize("timestep", [999.67, 700.4, 700.0, 0.9])
def test_timesteps_are_truncated(model: Any, timestep: float) -> None:
    patched = patches.faithful(model)
    with Calls(use(patched).time_embedding) as calls:
        forward(patched, timestep, inputs(motion=False))
    # One for each latent and 0 for the reference, which holds no noise.
    expected = time_embedding([int(timestep)] * LATENTS + [0])
    torch.testing.assert_close(calls.args[0][0], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("area", [832 * 480, 1280 * 720])
def test_only_motion_and_reference_tokens_are_free_of_noise(area: int) -> None:
    """ComfyUI gives each timestep to equally many tokens: right at all sizes that we use, wrong at others."""
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
    """How many of a picture's own tokens, and of the others, count as noisy in a chunk with motion."""
    rows, columns = height // 8, width // 8
    one = (rows // 2) * (columns // 2)
    others = one + one + (rows // 4) * (columns // 4) + 4 * (rows // 8) * (columns // 8)
    noise = torch.tensor([1.0] * 2 * LATENTS + [0.0] * 5).reshape(1, -1, 1)
    given = repeat_e(noise, torch.empty(1, LATENTS * one + others, 1))[0, :, 0]
    return int(given[: LATENTS * one].sum()), int(given[LATENTS * one :].sum())


def test_the_network_modulates_motion_and_reference_as_free_of_noise(model: Any) -> None:
    with Calls(use(model).blocks[0]) as calls:
        forward(model, given=inputs(8, 16))
    x, modulation = calls.args[0][0], calls.kwargs[0]["e"]
    own = LATENTS * 4 * 8
    tokens = repeat_e(modulation.flatten(2), x)
    assert tokens.shape[1] == x.shape[1] == own + 32 + 32 + 8 + 8
    torch.testing.assert_close(tokens[:, :own], tokens[:, :1].expand(-1, own, -1))
    torch.testing.assert_close(tokens[:, own:], tokens[:, -1:].expand(-1, x.shape[1] - own, -1))
    assert relative(tokens[:, 0], tokens[:, -1]) > 0.1


def test_stock_behaviour_is_back_when_the_clone_is_not_in_use(model: Any) -> None:
    before = forward(model)
    patched = patches.faithful(model)
    assert torch.equal(forward(model), before), "making a clone changes nothing"
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


def test_stock_behaviour_is_back_when_the_clone_is_gone(model: Any) -> None:
    before = forward(model)
    patched = patches.faithful(model)
    forward(patched)
    del patched
    gc.collect()
    assert torch.equal(forward(model), before)


def test_a_faithful_model_is_not_changed_again(model: Any) -> None:
    once = patches.faithful(model)
    twice = patches.faithful(once)
    assert twice is not once
    assert torch.equal(forward(twice), forward(once))


def test_a_clone_made_while_another_is_in_use_is_changed_once(model: Any) -> None:
    first = patches.faithful(model)
    expected = forward(first)
    second = patches.faithful(model)
    assert torch.equal(forward(second), expected)


def test_changing_between_both_loads_no_weights(model: Any) -> None:
    patched = patches.faithful(model)
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


def test_each_change_shows(model: Any) -> None:
    """Each alone: the sound at all times, the packer with motion, whole timesteps between whole numbers."""
    patched = patches.faithful(model)
    silent = {name: value for name, value in inputs().items() if name != "audio_embed"}
    still = {name: value for name, value in silent.items() if name != "reference_motion"}
    assert relative(forward(patched, 700.0), forward(model, 700.0)) > 0.05
    assert 1e-4 < relative(forward(patched, 700.0, silent), forward(model, 700.0, silent)) < 0.1
    assert 1e-6 < relative(forward(patched, 700.4, still), forward(model, 700.4, still)) < 0.05
    assert torch.equal(forward(patched, 700.0, still), forward(model, 700.0, still))


def test_what_is_changed_can_be_compiled(model: Any) -> None:
    """In one piece, and with the same positions: the compiler traces it all, and then runs it as it is."""
    network = use(patches.faithful(model))
    features, latents = random(1, 25, 32, 80), random(1, 16, 19, 24, 16)
    for module, given in (
        (network.casual_audio_encoder, (features,)),
        (network.frame_packer, (latents, network)),
    ):
        compiled = torch.compile(module, backend="eager", fullgraph=True)
        for ours, plain in zip(compiled(*given), module(*given), strict=True):
            torch.testing.assert_close(ours, plain)
