"""Offsets are found between a made voice and a mouth that follows it as the model expects."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from story_studio.checks.lip_sync import (
    MOUTH_RATE,
    MOUTH_TAPS,
    VOICE_RATE,
    project_voice,
    sync_of,
    voice_features,
)
from story_studio.checks.lips import lips

RATE = 16000


def voice(seconds: float, seed: int) -> NDArray[np.float32]:
    """Noise in bands whose levels change a few times a second."""
    noise = np.random.default_rng(seed)
    count = round(seconds * RATE)
    times = np.arange(count) / RATE
    total = np.zeros(count)
    for hertz in (200, 500, 1100, 2300, 4500):
        levels = np.exp(1.5 * noise.standard_normal(round(seconds * 8) + 2))
        carrier = np.sin(2 * np.pi * hertz * times + noise.uniform(0, 6) + 3 * np.sin(2 * np.pi * 5 * times))
        total += carrier * np.interp(times * 8, np.arange(len(levels)), levels)
    return (0.1 * total / total.std()).astype(np.float32)


def mouth(samples: NDArray[np.float32], fps: float) -> list[NDArray[np.float32] | None]:
    """The shapes of a mouth that follows a voice, not exactly."""
    directions = project_voice(voice_features(samples, RATE))[:: VOICE_RATE // MOUTH_RATE]
    parts = np.split(np.linalg.pinv(lips().mouth), len(MOUTH_TAPS), axis=1)
    moved = [np.roll(directions, tap, 0) @ part for tap, part in zip(MOUTH_TAPS, parts, strict=True)]
    shapes = np.sum(moved, 0)
    shapes += 0.3 * np.random.default_rng(9).standard_normal(shapes.shape) * shapes.std(0)
    times = np.arange(int(len(samples) / RATE * fps)) / fps * MOUTH_RATE
    frames = np.stack([np.interp(times, np.arange(len(shapes)), values) for values in shapes.T], 1)
    return list(frames.astype(np.float32))


def late(samples: NDArray[np.float32], seconds: float) -> NDArray[np.float32]:
    """The sound later by that; what is left of it at the ends is silent."""
    return np.roll(samples, round(seconds * RATE))


@pytest.mark.parametrize(("fps", "frames"), [(25, 0), (25, 6), (25, -6), (16, 8), (16, -3), (30, 5)])
def test_the_offset_is_positive_where_the_sound_is_late(fps: int, frames: int) -> None:
    samples = voice(6, seed=1)
    sync = sync_of(mouth(samples, fps), fps, late(samples, frames / fps), RATE)
    assert sync.offset_frames == pytest.approx(frames, abs=1)
    assert sync.offset_seconds == pytest.approx(frames / fps, abs=0.05)
    assert sync.start == (0.0 if abs(frames) >= 3 else None)


def test_the_voice_of_somebody_else_has_less_confidence() -> None:
    followed = mouth(voice(6, seed=1), 25)
    right = sync_of(followed, 25, voice(6, seed=1), RATE).confidence
    wrong = [sync_of(followed, 25, voice(6, seed=seed), RATE).confidence for seed in range(2, 6)]
    assert right is not None
    assert all(other is not None and other < right / 2 for other in wrong)


def test_an_offset_that_begins_within_a_clip_is_found_with_its_time() -> None:
    samples = voice(14, seed=3)
    later = np.concatenate([samples[: 7 * RATE], late(samples, 0.24)[7 * RATE :]])
    sync = sync_of(mouth(samples, 25), 25, later, RATE)
    assert sync.offset_frames == pytest.approx(6, abs=1)
    assert sync.start == pytest.approx(7, abs=1)


def test_the_rate_of_the_audio_does_not_matter() -> None:
    samples = voice(6, seed=1)
    doubled = np.repeat(samples, 2)
    assert sync_of(mouth(samples, 25), 25, doubled, 2 * RATE).offset_frames == pytest.approx(0, abs=1)


def test_frames_without_a_face_are_left_out() -> None:
    samples = voice(8, seed=1)
    seen = mouth(samples, 25)
    holes = [shape if number % 50 < 35 else None for number, shape in enumerate(seen)]
    assert sync_of(holes, 25, late(samples, 0.2), RATE).offset_frames == pytest.approx(5, abs=1)


def test_what_cannot_be_compared_has_no_figures() -> None:
    samples = voice(4, seed=1)
    seen = mouth(samples, 25)
    assert sync_of(seen, 25, np.zeros_like(samples), RATE).confidence is None
    assert sync_of(seen, 25, samples[: RATE // 20], RATE).confidence is None
    assert sync_of([None] * 100, 25, samples, RATE).confidence is None
    assert sync_of([*seen[:MOUTH_RATE], *[None] * 75], 25, samples, RATE).confidence is None
