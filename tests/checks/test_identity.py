"""Whether a face stays the same, of made faces: points on an egg, and a skin of its own for each person."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from PIL import Image

from story_studio.checks.faces import CROP, FaceSample, in_crop
from story_studio.checks.identity import IdentityMeter

FPS = 16
_SIDE = 240


@cache
def skin(person: int) -> np.ndarray:
    """Light and dark areas, uint8 [240, 240, 3]."""
    coarse = np.random.default_rng(person).integers(60, 220, (14, 14, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC))


@cache
def egg() -> np.ndarray:
    """The points of a face, float32 [468, 3], in the middle of the image; eyes and chin in their places."""
    points = np.random.default_rng(0).uniform(-1, 1, (2000, 2))
    x, y = points[np.square(points).sum(axis=1) < 1][:468].T
    landmarks = np.stack([x * 70, y * 95, -60 * np.sqrt(1 - np.minimum(1, x**2 + y**2))], axis=1)
    landmarks[[33, 263, 10, 152], :2] = (-45, -20), (45, -20), (0, -92), (0, 92)
    return (landmarks + (_SIDE / 2, _SIDE / 2, 0)).astype(np.float32)


def seen(pixels: np.ndarray, turn: float = 0, size: float = 1, squeeze: float = 1) -> FaceSample:
    """The face in an image that is turned, in degrees, enlarged, and squeezed as by a turn of the head."""
    cos, sin = np.cos(np.radians(turn)) * size, np.sin(np.radians(turn)) * size
    matrix = np.array([[cos * squeeze, -sin], [sin * squeeze, cos]])
    landmarks = egg().copy()
    landmarks[:, :2] = (landmarks[:, :2] - _SIDE / 2) @ matrix.T + _SIDE / 2
    # What is nearer on one side and further on the other keeps the distance of the eyes in space.
    landmarks[:, 2] += (egg()[:, 0] - _SIDE / 2) * size * np.sqrt(1 - squeeze**2)
    image = _placed(pixels, np.linalg.inv(matrix))
    return FaceSample((0, 0, 1, 1), landmarks, 1, np.zeros(4, np.float32), _crop(image, landmarks))


def _placed(pixels: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    (a, b), (c, d) = inverse
    x, y = np.full(2, _SIDE / 2) - inverse @ np.full(2, _SIDE / 2)
    image = Image.fromarray(pixels)
    data = (a, b, x, c, d, y)
    return np.asarray(image.transform(image.size, Image.Transform.AFFINE, data, Image.Resampling.BICUBIC))


def _crop(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The image where the points of the face say that their places in the crop are."""
    places = np.concatenate([in_crop(landmarks), np.ones((468, 1))], axis=1)
    to_image, *_ = np.linalg.lstsq(places, landmarks[:, :2], rcond=None)
    data = to_image.T.reshape(-1)
    picture = Image.fromarray(image)
    return np.asarray(
        picture.transform((CROP, CROP), Image.Transform.AFFINE, tuple(data), Image.Resampling.BILINEAR)
    )


def similarity(faces: list[FaceSample], reference: FaceSample | None = None) -> tuple[float, float]:
    meter = IdentityMeter(reference)
    for index, face in enumerate(faces):
        meter.add(index / FPS, face)
    result = meter.result()
    assert result.similarity is not None and result.at is not None
    return result.similarity, result.at


def test_a_face_that_moves_and_turns_stays_the_same() -> None:
    faces = [
        seen(skin(1), 8 * np.sin(index / 5), 1 + 0.1 * np.sin(index / 7), 0.95 + 0.05 * np.cos(index / 9))
        for index in range(48)
    ]
    assert similarity(faces)[0] > 0.85


@pytest.mark.parametrize("light", [0.7, 1.15])
def test_light_does_not_change_a_face(light: float) -> None:
    lit = (skin(1) * light).clip(0, 255).astype(np.uint8)
    assert similarity([seen(skin(1))] * 20 + [seen(lit)] * 20)[0] > 0.85


def test_another_face_is_found_from_where_on_it_is() -> None:
    lowest, at = similarity([seen(skin(1))] * 24 + [seen(skin(2), size=1.1)] * 24)
    assert lowest < 0.5 and at == pytest.approx(24 / FPS, abs=0.7)


def test_the_reference_is_what_counts() -> None:
    faces = [seen(skin(2))] * 24
    assert similarity(faces)[0] > 0.95
    assert similarity(faces, seen(skin(2), size=0.9))[0] > 0.85
    assert similarity(faces, seen(skin(1)))[0] < 0.5


def test_too_few_frames_say_nothing() -> None:
    meter = IdentityMeter()
    assert meter.result().similarity is None
    for index in range(17):
        meter.add(index / FPS, seen(skin(1)))
    assert meter.result().similarity is None
