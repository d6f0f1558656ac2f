"""The numbers by which a mouth is compared with a voice: a linear model, fitted once and kept in `lips.json`.

Canonical correlation analysis (Hotelling 1936; for lips and voice: Slaney and Covell, "FaceSync", NIPS 2000)
finds the directions in which the movement of lips and the spectrum of a voice go together.
`tests.benchmarks.fit_lips` fits it again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Lips:
    """The model.

    Attributes:
        template: [R, 3], the points of a face that does not move with its mouth, the eyes one apart.
        shapes: [P * 3, K], the main ways in which the points of the lips move.
        voice: [taps * bands, C] and
        mouth: [taps * K, C], from the features to the C directions.
        weights: [C], the correlation of each.
    """

    template: NDArray[np.float32]
    shapes: NDArray[np.float32]
    voice: NDArray[np.float32]
    mouth: NDArray[np.float32]
    weights: NDArray[np.float32]


@cache
def lips() -> Lips:
    """The fitted model."""
    table = json.loads(Path(__file__).with_name("lips.json").read_text("utf-8"))
    return Lips(**{name: np.array(rows, np.float32) for name, rows in table.items()})
