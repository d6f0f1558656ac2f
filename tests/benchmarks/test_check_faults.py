"""Made faults are what they say: without that, the benchmark of checks counts nothing."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from story_studio.media.decoder import decode_audio
from story_studio.media.encoder import SAMPLE_RATE

from .check_faults import KINDS, Made, cast_of, lab, write
from .check_scores import wilson
from .check_windows import Window, cut, places, sources


@pytest.fixture(scope="module")
def click(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 6 s at 25 fps with a flash and a click at 3 s."""
    frames, sound = np.full((150, 48, 64, 3), 40, np.uint8), np.zeros(6 * SAMPLE_RATE, np.float32)
    frames[75], sound[3 * SAMPLE_RATE :][:200] = 220, 0.8
    path = tmp_path_factory.mktemp("click") / "click.mp4"
    write(Made(frames, sound, 25), path)
    return path


@pytest.mark.parametrize(("fps", "late"), [(16, 8), (16, -3), (25, 0), (25, -8)])
def test_a_shift_is_a_shift(click: Path, tmp_path: Path, fps: int, late: int) -> None:
    found, _ = sources([click], 4)
    (place,) = places(found[0], fps, 4, most=1)
    window = cut(place)
    write(KINDS["shift"].make(window, window, late), tmp_path / "made.mp4")

    with av.open(str(tmp_path / "made.mp4")) as file:
        levels = [frame.to_ndarray(format="gray").mean() for frame in file.decode(video=0)]
    audio = np.abs(decode_audio(tmp_path / "made.mp4")).max(axis=0)
    clicked = np.argmax(audio > 0.3) / SAMPLE_RATE

    assert len(levels) == 4 * fps
    assert clicked * fps - np.argmax(levels) == pytest.approx(late, abs=0.1)


def test_a_cast_moves_the_mean_color_by_its_size() -> None:
    frame = np.random.default_rng(1).integers(60, 190, (64, 64, 3), dtype=np.uint8)
    window = Window(np.stack([frame, frame]), np.zeros(SAMPLE_RATE, np.float32), 0, 16)
    for size in (2, 10):
        moved = KINDS["seam-color"].make(window, window, size).frames[-1]
        means = [lab(image).mean(axis=(0, 1)) for image in (frame, moved)]
        assert np.linalg.norm(means[1] - means[0]) == pytest.approx(size, abs=0.3)
    assert cast_of(frame, 5) < cast_of(frame, 10)


def test_lab_of_known_colors() -> None:
    # Bruce Lindbloom's calculator, sRGB and D65.
    assert lab(np.array([255, 0, 0])) == pytest.approx([53.24, 80.09, 67.20], abs=0.02)
    assert lab(np.array([255, 255, 255])) == pytest.approx([100, 0, 0], abs=0.02)


def test_the_interval_is_wilsons() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
