"""How much the face stays that of the reference, or of the first second.

The skin between the points of the face mesh is drawn as if the first face wore it and looked straight ahead,
so that a turn of the head, an expression and the distance of the camera change little. Of the part above the
mouth, histograms of oriented gradients (Dalal and Triggs, 2005) are compared, which neither the light nor the
colours of a clip change much. That distinguishes the people in a clip, but it is no face recognition.
"""

from __future__ import annotations

import math

import numpy as np

from .faces import CROP, FaceSample, in_crop
from .figures import Identity

_EVERY_SECONDS = 0.1
_FIRST_SECONDS = 1.0
_FEWEST = 3
"""Samples of a second with which it counts."""
_SIDE, _CELL, _DIRECTIONS = 40, 8, 8
"""Pixels of the drawn face and of its cells, and directions of their gradients."""
_UPPER = 0.68
"""The part of its height that is above the mouth."""
_NEIGHBOURS = 8
_OUTER_EYES, _TOP, _CHIN = (33, 263), 10, 152
_STRANGER = 0.8
"""Likeness of the gradients of two faces that have nothing in common but to be faces: similarity 0."""


class IdentityMeter:
    """Compares the faces of a clip, in memory that hardly grows with it.

    Args:
        reference: the face to compare with; without it, it is that of the first second with a face.
    """

    def __init__(self, reference: FaceSample | None = None) -> None:
        self._drawing: _Drawing | None = None
        self._expected: np.ndarray | None = None
        self._first: list[FaceSample] = []
        self._samples: list[tuple[float, float]] = []
        self._since: float | None = None
        self._next = 0.0
        if reference is not None:
            self._learn([reference])

    def add(self, at: float, face: FaceSample) -> None:
        """Adds the face of the frame at a time in seconds."""
        if at < self._next:
            return
        self._next = at + _EVERY_SECONDS
        self._since = at if self._since is None else self._since
        if self._expected is None and at < self._since + _FIRST_SECONDS:
            self._first.append(face)
            return
        if self._expected is None:
            self._learn(self._first)
        assert self._drawing is not None and self._expected is not None
        likeness = float(self._drawing.gradients(face) @ self._expected)
        self._samples.append((at, max(0.0, (likeness - _STRANGER) / (1 - _STRANGER))))

    def result(self) -> Identity:
        """The similarity where it is lowest for a second; None where there is too little to compare."""
        seconds = _medians(self._samples)
        if not seconds:
            return Identity()
        similarity, at = min(seconds)
        return Identity(similarity=round(similarity, 3), at=round(at, 3))

    def _learn(self, faces: list[FaceSample]) -> None:
        self._drawing = drawing = _Drawing(np.median([_frontal(face.landmarks) for face in faces], axis=0))
        mean = np.mean([drawing.gradients(face) for face in faces], axis=0)
        self._expected = mean / max(float(np.linalg.norm(mean)), 1e-6)
        self._first = []


def _medians(samples: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The median of every second that starts with a sample, and its start."""
    times = np.array([at for at, _ in samples])
    values = np.array([value for _, value in samples])
    medians = []
    for start, at in enumerate(times):
        end = int(np.searchsorted(times, at + 1))
        if end - start >= _FEWEST and (times[-1] >= at + 0.9 or start == 0):
            medians.append((float(np.median(values[start:end])), float(at)))
    return medians


class _Drawing:
    """Draws any face in the shape of one face that looks straight ahead.

    A pixel lies between points of the mesh. Weights of the nearest of these that give its place give its
    place on another face, too.
    """

    def __init__(self, shape: np.ndarray) -> None:
        points = shape[:, :2]
        low, high = points.min(axis=0), points.max(axis=0)
        inset = (high - low) * 0.09
        across, down = (np.linspace(low[i] + inset[i], high[i] - inset[i], _SIDE) for i in (0, 1))
        grid = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
        self._nearest, self._weights = _between(grid, points)
        ellipse = np.square((grid - (low + high) / 2) / ((high - low) / 2)).sum(axis=1) < 0.95
        shown = ellipse.reshape(_SIDE, _SIDE)
        shown[int(_SIDE * _UPPER) :] = False
        self._shown = shown

    def gradients(self, face: FaceSample) -> np.ndarray:
        """The histograms of a face, of unit length, as the roots of their values."""
        places = (in_crop(face.landmarks)[self._nearest] * self._weights[:, :, None]).sum(axis=1)
        grey = face.crop.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        return _gradients(_smooth(_sampled(grey, places).reshape(_SIDE, _SIDE)), self._shown)


def _frontal(landmarks: np.ndarray) -> np.ndarray:
    """A face [468, 3] that is turned to look straight ahead, in distances of its eyes' outer corners."""
    right, left = (landmarks[index].astype(np.float64) for index in _OUTER_EYES)
    distance = max(float(np.linalg.norm(left - right)), 1e-6)
    x = (left - right) / distance
    y = landmarks[_CHIN] - landmarks[_TOP].astype(np.float64)
    y -= x * (x @ y)
    y /= max(float(np.linalg.norm(y)), 1e-6)
    return (landmarks - (left + right) / 2) @ np.stack([x, y, np.cross(x, y)], axis=1) / distance


def _between(grid: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest points to places [n, 2], and weights of these that give the places and add up to 1.

    Both are [n, k]. Of all such weights they have the least sum of squares, a near point's being cheaper.
    """
    distances = np.square(grid[:, None] - points[None]).sum(axis=2)
    nearest = np.argpartition(distances, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
    cheap = 1 / (np.take_along_axis(distances, nearest, axis=1) + 1e-4)
    ones = np.ones((*nearest.shape, 1))
    matrix = np.concatenate([points[nearest], ones], axis=2)
    weighted = matrix * cheap[:, :, None]
    normal = np.einsum("nki,nkj->nij", matrix, weighted) + np.eye(3) * 1e-9
    wanted = np.concatenate([grid, np.ones((len(grid), 1))], axis=1)
    return nearest, np.einsum("nki,ni->nk", weighted, np.linalg.solve(normal, wanted[:, :, None])[:, :, 0])


def _sampled(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The bilinear values of an image [side, side] at places [n, 2] in its pixels, the nearest outside."""
    x, y = np.clip(places - 0.5, 0, CROP - 1.001).T
    column, row = x.astype(int), y.astype(int)
    right, below = x - column, y - row
    upper = image[row, column] * (1 - right) + image[row, column + 1] * right
    lower = image[row + 1, column] * (1 - right) + image[row + 1, column + 1] * right
    return upper * (1 - below) + lower * below


def _smooth(image: np.ndarray) -> np.ndarray:
    """Blurred by 1 2 1 in both directions."""
    wide = np.pad(image, 1, mode="edge")
    rows = wide[:-2] + 2 * wide[1:-1] + wide[2:]
    return (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 16


def _gradients(image: np.ndarray, shown: np.ndarray) -> np.ndarray:
    down, across = np.gradient(image)
    length = np.hypot(across, down) * shown
    direction = (np.arctan2(down, across) / math.tau % 1) * _DIRECTIONS
    lower = np.floor(direction)
    share = direction - lower
    cells = _SIDE // _CELL
    histograms = np.zeros((cells, cells, _DIRECTIONS))
    for index in range(_DIRECTIONS):
        part = (lower % _DIRECTIONS == index) * (1 - share) + ((lower + 1) % _DIRECTIONS == index) * share
        histograms[:, :, index] = (length * part).reshape(cells, _CELL, cells, _CELL).sum(axis=(1, 3))
    roots = np.sqrt(histograms.reshape(-1))
    return roots / max(float(np.linalg.norm(roots)), 1e-6)
