"""Freezes, black frames, flashes, blur, drift of colours and seams in a made scene that moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageFilter

from story_studio.checks.color import ColorDrift
from story_studio.checks.figures import Color, Frames, Seams
from story_studio.checks.frames import FrameFaults
from story_studio.checks.reduced import Reduced
from story_studio.checks.seams import SeamMeter

FPS = 16
COUNT = 40
WIDTH, HEIGHT = 208, 120

Frame = Callable[[int], np.ndarray]


@cache
def scene(index: int) -> np.ndarray:
    """A textured room in which something moves; uint8 [height, width, 3]."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack(
        [
            90 + 50 * np.sin(columns / 9),
            110 + 40 * np.cos(rows / 7),
            100 + 45 * np.sin((rows + columns) / 11),
        ],
        axis=2,
    )
    left = 70 + round(30 * np.sin(index / 5))
    pixels[30:110, left : left + 60] = (200, 160, 130)
    noise = np.random.default_rng(index).normal(0, 1, pixels.shape)
    return (pixels + noise).clip(0, 255).astype(np.uint8)


def frames(frame: Frame, count: int = COUNT) -> Iterable[Reduced]:
    return (Reduced(index / FPS, np.ascontiguousarray(frame(index))) for index in range(count))


def faults(frame: Frame) -> Frames:
    meter = FrameFaults()
    for one in frames(frame):
        meter.add(one)
    return meter.result(COUNT / FPS)


def drift(frame: Frame) -> Color:
    meter = ColorDrift()
    for one in frames(frame):
        meter.add(one)
    return meter.result()


def seams(frame: Frame) -> Seams:
    meter = SeamMeter()
    for one in frames(frame):
        meter.add(one)
    return meter.result()


def test_a_clip_without_faults_has_none() -> None:
    found = faults(scene)
    assert found.frozen == [] and found.black == []
    assert found.flicker < 1 and found.sharpness > 0.8
    assert drift(scene).drift < 1
    assert seams(scene).largest < 1.5


def test_a_freeze_is_found_from_its_first_frame_to_its_end() -> None:
    # Not the same noise: the codec does not give back the same pixels either.
    held = faults(lambda index: scene(10) if 10 <= index < 26 else scene(index)).frozen
    assert [(span.start, span.end) for span in held] == [(10 / FPS, 26 / FPS)]
    assert faults(lambda index: scene(min(index, 20))).frozen[0].end == COUNT / FPS
    assert faults(lambda index: scene(10) if 10 <= index < 15 else scene(index)).frozen == []


def test_a_slow_zoom_is_no_freeze() -> None:
    still = Image.fromarray(scene(0))

    def zoomed(index: int) -> np.ndarray:
        edge = index * 0.15
        return np.asarray(
            still.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, (edge, edge, WIDTH - edge, HEIGHT - edge))
        )

    assert faults(zoomed).frozen == []


def test_black_frames_are_black_and_nothing_else() -> None:
    found = faults(lambda index: np.zeros_like(scene(0)) if 12 <= index < 24 else scene(index))
    assert [(span.start, span.end) for span in found.black] == [(12 / FPS, 24 / FPS)]
    assert found.frozen == [] and found.flicker < 1 and found.sharpness > 0.8


@pytest.mark.parametrize(("levels", "length"), [(10, 1), (-12, 2)])
def test_a_flash_is_measured_where_it_is(levels: int, length: int) -> None:
    def flashing(index: int) -> np.ndarray:
        change = levels if 20 <= index < 20 + length else 0
        return (scene(index).astype(int) + change).clip(0, 255).astype(np.uint8)

    found = faults(flashing)
    assert found.flicker == pytest.approx(abs(levels), abs=1.5)
    assert found.flicker_at == pytest.approx(20 / FPS, abs=1.5 / FPS)


def test_a_change_of_light_that_stays_is_no_flash() -> None:
    assert faults(lambda index: scene(index) // 2 if index >= 20 else scene(index)).flicker < 1


def test_a_blur_is_measured_against_the_first_second() -> None:
    def blurred(index: int) -> np.ndarray:
        if index < 28:
            return scene(index)
        return np.asarray(Image.fromarray(scene(index)).filter(ImageFilter.GaussianBlur(2)))

    found = faults(blurred)
    assert found.sharpness < 0.3
    assert found.sharpness_at == pytest.approx(28 / FPS, abs=0.5)


@pytest.mark.parametrize("gains", [(0.8, 0.8, 0.8), (1.12, 1, 0.88)])
def test_a_drift_of_colours_is_measured(gains: tuple[float, float, float]) -> None:
    def drifting(index: int) -> np.ndarray:
        return (scene(index) * (1 + (np.array(gains) - 1) * index / COUNT)).clip(0, 255).astype(np.uint8)

    found = drift(drifting)
    assert found.drift > 4 and found.at and found.at > 1


@pytest.mark.parametrize("fault", ["colours", "shift", "cut"])
def test_a_seam_is_found_where_it_is(fault: str) -> None:
    def joined(index: int) -> np.ndarray:
        pixels = scene(index)
        if index < 23:
            return pixels
        if fault == "colours":
            return (pixels * (1.06, 1, 0.94)).clip(0, 255).astype(np.uint8)
        return np.roll(pixels, 5, axis=1) if fault == "shift" else pixels[::-1, ::-1]

    found = seams(joined)
    assert found.largest > 2.5 and found.at == pytest.approx(23 / FPS, abs=1e-3)


def test_a_moving_camera_and_a_gesture_are_no_seams() -> None:
    wide = np.concatenate([scene(0), scene(0)[:, ::-1]], axis=1)
    assert seams(lambda index: wide[:, 3 * index : 3 * index + WIDTH]).largest < 1.5

    def waving(index: int) -> np.ndarray:
        pixels = scene(index)
        if 20 <= index < 24:
            pixels[: HEIGHT // 2, : WIDTH // 3] = (210, 170, 140)
        return pixels

    assert seams(waving).largest < 1.5


def test_clips_of_any_size_and_length_are_measured() -> None:
    for shape in ((2, 2, 3), (9, 31, 3), (1, 700, 3)):
        for count in (1, 2, 3):
            meters = FrameFaults(), ColorDrift(), SeamMeter()
            for index in range(count):
                for meter in meters:
                    meter.add(Reduced(index / FPS, np.full(shape, 128, np.uint8)))
            assert meters[0].result(count / FPS).black == []
            assert meters[1].result().drift == 0 and meters[2].result().largest == 0
