"""Control latents from pose videos of any length, against the official pipeline's."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from story_studio.s2v import pose, timeline
from story_studio.s2v.checks import check_inputs
from tests.s2v import official
from tests.s2v.tools import SampleClip, relative

CHUNKS = 3
SIDE = 64


def poses(frames: int) -> torch.Tensor:
    return torch.rand(frames, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(frames))


def encoded(vae: Any, video: torch.Tensor, lead_in: int) -> list[torch.Tensor]:
    control = pose.PoseControl(vae, video, lead_in, (SIDE, SIDE))
    return [control.latents(timeline.CHUNK_FRAMES * index) for index in range(CHUNKS)]


@pytest.mark.parametrize("frames", [1, 3, 40, 79, 80, 81, 100, 240, 300])
def test_control_latents_are_the_official_ones(vae: Any, frames: int) -> None:
    video = poses(frames)
    for ours, theirs in zip(encoded(vae, video, 0), official.poses(vae, video, CHUNKS), strict=True):
        assert ours.shape == (1, 16, timeline.CHUNK_LATENTS, SIDE // 8, SIDE // 8)
        assert relative(ours, theirs) < 1e-5


def test_poses_start_with_the_clip_and_not_with_the_lead_in(vae: Any) -> None:
    """The official code takes the first frame for that of the lead-in: they are 3 frames early."""
    video = poses(60)
    later = torch.cat([video[:1]] * timeline.LEAD_IN_FRAMES + [video])
    ours, theirs = encoded(vae, video, timeline.LEAD_IN_FRAMES), official.poses(vae, later, CHUNKS)
    assert all(relative(a, b) < 1e-5 for a, b in zip(ours, theirs, strict=True))
    # The first frame of a clip that starts with the image is not generated.
    ours = encoded(vae, video, timeline.START_IMAGE_LEAD_IN_FRAMES)
    theirs = official.poses(vae, video[1:], CHUNKS)
    assert all(relative(a, b) < 1e-5 for a, b in zip(ours, theirs, strict=True))


def test_black_poses_are_encoded_once_and_are_not_zeros(vae: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, encode = [], vae.encode
    monkeypatch.setattr(vae, "encode", lambda frames: calls.append(len(frames)) or encode(frames))
    first, second, third = encoded(vae, poses(10), 0)
    assert calls == [81, 81]
    assert torch.equal(second, third) and not torch.equal(first, second)
    assert second.abs().max() > 0.01


def test_a_pose_video_of_another_size_is_scaled(vae: Any) -> None:
    video = torch.ones(10, 90, 160, 3)
    expected = encoded(vae, torch.ones(10, SIDE, SIDE, 3), 0)
    assert all(relative(a, b) < 1e-5 for a, b in zip(encoded(vae, video, 0), expected, strict=True))


def test_each_chunk_is_controlled(model: Any, vae: Any, sample_clip: SampleClip) -> None:
    """The network gets the control latents of its chunk, also after the pose video's end."""
    features = torch.zeros(1, 25, 32, 160)
    video = poses(10)
    record = sample_clip(model, frames=100, steps=1, features=features, pose_video=video)
    control = pose.PoseControl(vae, video, timeline.LEAD_IN_FRAMES, (SIDE, SIDE))
    with_poses = [call.conditions["control_video"] for call in record.calls if not call.negative]
    record = sample_clip(model, frames=100, steps=1, features=features)
    without = record.calls[0].conditions["control_video"]
    assert len(with_poses) == 2
    for index, given in enumerate(with_poses):
        expected = model.model.process_latent_in(control.latents(80 * index))
        assert relative(given, expected) < 1e-4
        assert (given - without).abs().max() > 0.01


@pytest.mark.parametrize(
    ("shape", "warnings"),
    [
        ((80, 64, 64, 3), []),
        ((79, 64, 64, 3), ["lasts 4.94 s, the clip 5.00 s: after it the poses are black"]),
        ((1, 64, 64, 3), ["lasts 0.06 s.*to hold a pose, repeat its frame"]),
        ((150, 64, 64, 3), ["lasts 9.38 s at 16 frames a second.*must be converted to 16 first"]),
        ((80, 64, 128, 3), ["is 128x64, the clip 64x64: 50% of it is cropped"]),
        ((10, 128, 64, 3), ["poses are black", "is 64x128, the clip 64x64: 50%"]),
    ],
)
def test_what_does_not_fit_the_clip_is_a_warning(shape: tuple[int, ...], warnings: list[str]) -> None:
    given = list(pose.describe(torch.zeros(shape), 80, (64, 64)))
    assert len(given) == len(warnings)
    assert all(re.search(pattern, text) for pattern, text in zip(warnings, given, strict=True))


@pytest.mark.parametrize("shape", [(0, 64, 64, 3), (10, 0, 64, 3)])
def test_a_pose_video_without_frames_is_refused(
    shape: tuple[int, ...], model: Any, vae: Any, prompts: Any, audio_encoder: Any, image: torch.Tensor
) -> None:
    inputs: Any = (model, *prompts, vae, audio_encoder, {"waveform": None}, image)
    with pytest.raises(ValueError, match=r"cannot start\. pose_video has no frames: link"):
        check_inputs(*inputs, pose_video=torch.zeros(shape))
