"""The face of a speaker as a figure."""

from __future__ import annotations

import numpy as np
import pytest

from story_studio.checks.presence import Place, face_of

FPS = 10
TIMES = [index / FPS for index in range(40)]


def test_a_face_that_moves_smoothly_is_steady() -> None:
    places: list[Place | None] = [(0.5 + 0.01 * index, 0.4, 0.3) for index in range(40)]
    face = face_of(TIMES, places, 4.0)
    assert (face.present, face.height, face.lost) == (1, 0.3, [])
    assert face.jitter == pytest.approx(0, abs=1e-5)


def test_jitter_is_a_share_of_the_height_of_the_face() -> None:
    # Two hundredths to and fro: the middle of the neighbours is two hundredths away.
    places: list[Place | None] = [(0.5 + 0.02 * (index % 2), 0.4, 0.4) for index in range(40)]
    assert face_of(TIMES, places, 4.0).jitter == pytest.approx(0.05)


def test_where_the_face_is_lost() -> None:
    places: list[Place | None] = [(0.5, 0.4, 0.3)] * 40
    places[5:7] = [None] * 2
    places[12:20] = [None] * 8
    places[36:] = [None] * 4
    face = face_of(TIMES, places, 4.0)
    assert face.present == pytest.approx(26 / 40)
    assert [(span.start, span.end) for span in face.lost] == [(1.2, 2.0), (3.6, 4.0)]


def test_a_clip_without_a_face() -> None:
    face = face_of(TIMES, [None] * 40, 4.0)
    assert (face.present, face.height, face.jitter) == (0, None, None)
    assert [(span.start, span.end) for span in face.lost] == [(0, 4.0)]
    assert face_of([], [], 0.0).present == 0
    assert np.isclose(face_of([0.0], [(0.5, 0.5, 0.2)], 0.1).present, 1)
