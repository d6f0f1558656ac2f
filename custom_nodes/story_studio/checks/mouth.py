"""The mouth of a face in numbers that depend on neither the size of the face nor where it looks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NAMES = ("opening", "width", "jaw", "lips")

# Points of the Face Mesh.
_EYES = (33, 133, 362, 263)
_INNER_UPPER = (81, 82, 13, 312, 311)
_INNER_LOWER = (178, 87, 14, 317, 402)
_OUTER_UPPER = (37, 0, 267)
_OUTER_LOWER = (84, 17, 314)
_CORNERS = (61, 291)
_NOSE, _CHIN = 2, 152


def mouth_of(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features of the mouth, float32 [len(NAMES)], of the landmarks [468, 3] of a face.

    Distances in space, in parts of the distance of the eyes: between the inner edges of the lips, between the
    corners of the mouth, from the nose to the chin, between the outer edges of the lips.
    """
    right, _, _, left = landmarks[list(_EYES)]
    pairs = (
        (landmarks[list(_INNER_UPPER)], landmarks[list(_INNER_LOWER)]),
        (landmarks[_CORNERS[0]], landmarks[_CORNERS[1]]),
        (landmarks[_NOSE], landmarks[_CHIN]),
        (landmarks[list(_OUTER_UPPER)], landmarks[list(_OUTER_LOWER)]),
    )
    distances = [np.linalg.norm(a - b, axis=-1).mean() for a, b in pairs]
    return (np.array(distances) / np.linalg.norm(left - right)).astype(np.float32)
