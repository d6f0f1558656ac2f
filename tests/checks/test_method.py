"""The figures of a clip stay the same as long as `method` does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from story_studio.checks.faces import FaceTracker, missing_models
from story_studio.checks.lip_sync import sync_of
from story_studio.checks.measure import measure
from story_studio.checks.method import method
from tests.checks.clips import write_clip
from tests.checks.drawn import draw_face
from tests.checks.test_lip_sync import RATE, mouth, voice

METHOD = "47595269eac808b72304fcbb"
KNOWN = {
    "frozen": 1.0,
    "flicker": 0.33,
    "sharpness": 1.0,
    "seam": 1.06,
    "drift": 0.65,
    "loudness": -19.43,
    "level": -20.0,
    "confidence": 8.87,
    "width": 0.301,
    "mouth": 4.64,
}
RAISE = "raise the number in checks/method.py, and write the new figures down here"


def test_the_figures_are_those_of_the_method(tmp_path: Path) -> None:
    figures = measure(write_clip(tmp_path / "clip.mp4", frozen=range(10, 25), sound=True), talking=False)
    assert figures.voice and figures.voice.level and figures.voice.noise_floor
    samples = voice(6, seed=1)
    sync = sync_of(mouth(samples, 25), 25, samples, RATE)
    (frozen,) = figures.frames.frozen
    measured: dict[str, float | None] = {
        "frozen": frozen.end - frozen.start,
        "flicker": figures.frames.flicker,
        "sharpness": figures.frames.sharpness,
        "seam": figures.seams.largest,
        "drift": figures.color.drift,
        "loudness": figures.voice.loudness,
        "level": figures.voice.level,
        "confidence": sync.confidence,
    }
    if not missing_models():
        face = FaceTracker().add(draw_face())
        assert face
        measured |= {"width": face.box[2], "mouth": float(np.linalg.norm(face.mouth))}
    known = {name: KNOWN[name] for name in measured}

    assert method() == METHOD, RAISE
    assert measured == pytest.approx(known, rel=0.05, abs=0.05), RAISE
