"""The mouth of a face in a few numbers that depend on neither the size of the face nor where it looks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .lips import lips

# Points of the Face Mesh that do not move with the mouth: eyes, brows, nose, forehead, temples.
RIGID = (
    *(33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 10, 151, 9, 8),
    *(127, 356, 234, 454, 93, 323, 70, 300, 105, 334),
)
# The outer edge of the lips, the inner edge, the chin.
LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415),
    152,
)


def mouth_of(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """The shape of the mouth, float32 [K], of the landmarks [468, 3] of a face.

    How far the lips are along each of the main ways in which lips move, in distances of the eyes.
    """
    return lip_points(landmarks, lips().template).reshape(-1) @ lips().shapes


def lip_points(landmarks: NDArray[np.float32], template: NDArray[np.float32]) -> NDArray[np.float32]:
    """The points of the lips, [len(LIPS), 3], of a face turned and scaled onto the template.

    The rotation and scale of least squares (Umeyama 1991).
    """
    rigid = landmarks[list(RIGID)].astype(np.float64)
    centre = rigid.mean(0)
    rigid -= centre
    u, s, vt = np.linalg.svd(rigid.T @ (template - template.mean(0)))
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = (s * sign).sum() / (rigid**2).sum()
    return ((landmarks[list(LIPS)] - centre) @ (u * sign @ vt) * scale).astype(np.float32)
