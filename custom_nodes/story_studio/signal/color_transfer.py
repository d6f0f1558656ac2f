"""How the colours of one image differ from those of another one of the same things.

Between the pixels lies the Monge-Kantorovich linear colour transfer (Pitie and Kokaram, "The linear
Monge-Kantorovitch linear colour mapping for example-based colour transfer", 2007): the affine map of RGB that
gives one set of colours the mean and covariance of the other and changes them least.
"""

from __future__ import annotations

import numpy as np

_SAME = 0.25
"""The part of the pixels that have to show the same thing for a comparison to count."""
_FEWEST = 16
"""As many pixels at least: a covariance of one is none."""
_NEAR = (10.0, 5.0, 5.0)
"""The colour difference, in each step, up to which two pixels show the same thing once drift is undone."""

Map = np.ndarray
"""An affine map of RGB from 0 to 1, float64 [3, 4]: three columns for the colour and one that is added."""
IDENTITY: Map = np.eye(3, 4)


def transfer_of(pixels: np.ndarray, reference: np.ndarray) -> Map:
    """The map of some pixels to those of the reference, from where both show the same.

    Both are float32 [pixels, 3], RGB from 0 to 1. It is `IDENTITY` where they show too little of the same.
    """
    change, expected = IDENTITY, lab(reference)
    for near in _NEAR:
        difference = lab(applied(pixels, change)) - expected
        # Apart from the shift that most have in common, which is drift.
        same = np.linalg.norm(difference - np.median(difference, axis=0), axis=1) <= near
        if same.sum() < max(_FEWEST, _SAME * len(same)):
            return IDENTITY
        change = _transfer(pixels[same], reference[same])
    return change


def applied(pixels: np.ndarray, change: Map) -> np.ndarray:
    """What a map makes of pixels [n, 3], from 0 to 1."""
    return np.clip(pixels @ change[:, :3].T + change[:, 3], 0, 1)


def delta_e(pixels: np.ndarray, change: Map) -> float:
    """By how much a map changes the colours of pixels [n, 3] on average, CIE 1976."""
    return float(np.linalg.norm(lab(applied(pixels, change)) - lab(pixels), axis=1).mean())


def lab(pixels: np.ndarray) -> np.ndarray:
    """sRGB [n, 3] from 0 to 1 as CIE L*a*b*, with white D65."""
    linear = np.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T
    cubic = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = cubic.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
) / np.array([[0.95047], [1.0], [1.08883]])
"""IEC 61966-2-1, divided by the white point."""


def _transfer(pixels: np.ndarray, reference: np.ndarray) -> Map:
    source, target = (_covariance(colours) for colours in (pixels, reference))
    root, inverse = _root(source)
    middle, _ = _root(root @ target @ root)
    matrix = inverse @ middle @ inverse
    shift = reference.mean(axis=0) - matrix @ pixels.mean(axis=0)
    return np.concatenate([matrix, shift[:, None]], axis=1)


def _covariance(colours: np.ndarray) -> np.ndarray:
    # A frame of few colours has no variance in some direction, in which the map is then the identity.
    return np.cov(colours.T.astype(np.float64)) + np.eye(3) * 1e-3


def _root(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The square root of a symmetric positive matrix, and the inverse of the root."""
    values, vectors = np.linalg.eigh(matrix)
    values = np.sqrt(np.maximum(values, 1e-12))
    return (vectors * values) @ vectors.T, (vectors / values) @ vectors.T
