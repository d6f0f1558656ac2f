"""The drift of colours from chunk to chunk: what is measured, what is corrected, and what is left alone."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
import pytest

from story_studio.media import drift
from story_studio.media.clip_frames import Scaler, rgb_pixels
from story_studio.signal.color_transfer import lab

STARTS = (0, 37, 77, 117)
FRAMES = 150
SIZE = (96, 64)


def scene(index: int) -> np.ndarray:
    """A still picture of many colours, in front of which something moves; RGB, 0 to 1."""
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]] / 64
    pixels = np.stack(
        [
            0.3 + 0.25 * np.sin(5 * columns),
            0.4 + 0.2 * np.cos(6 * rows),
            0.35 + 0.2 * np.sin(4 * (rows + columns)),
        ],
        axis=2,
    )
    left = 20 + round(20 * np.sin(index / 9))
    pixels[16:48, left : left + 24] = (0.75, 0.6, 0.5)
    return pixels


def drifted(index: int, kind: str, amount: float) -> np.ndarray:
    pixels, amount = scene(index), amount * sum(index >= start for start in STARTS[1:])
    if kind == "exposure":
        return pixels * (1 + amount)
    if kind == "saturation":
        grey = pixels @ np.array([0.2126, 0.7152, 0.0722])
        return grey[:, :, None] + (pixels - grey[:, :, None]) * (1 + amount)
    return pixels * (1 + amount, 1, 1 - amount)


def frames(kind: str = "exposure", amount: float = 0) -> Iterator[av.VideoFrame]:
    scaler = Scaler("yuv420p", SIZE)
    for index in range(FRAMES):
        pixels = (drifted(index, kind, amount).clip(0, 1) * 255).round().astype(np.uint8)
        yield scaler(av.VideoFrame.from_ndarray(pixels, format="rgb24"))


def colours(pixels: np.ndarray) -> np.ndarray:
    """Of the lower edge, where nothing moves."""
    return lab(pixels[52:].reshape(-1, 3) / 255)


def test_what_does_not_drift_is_left_alone_to_the_bit() -> None:
    measured = drift.measure(frames(), STARTS)
    assert [one.chunk for one in measured.chunks] == [0, 1, 2, 3]
    assert max(one.delta_e for one in measured.chunks) < 0.5
    assert [one.sharpness for one in measured.chunks] == pytest.approx([1] * 4, abs=0.3)
    given = list(frames())
    assert all(one is other for one, other in zip(drift.corrected(given, measured), given, strict=True))
    assert measured.json()["corrected"] is False


@pytest.mark.parametrize(("kind", "amount"), [("exposure", -0.04), ("saturation", 0.06), ("warmth", 0.03)])
def test_drift_is_measured_and_undone_without_a_seam(kind: str, amount: float) -> None:
    measured = drift.measure(frames(kind, amount), STARTS)
    found = [one.delta_e for one in measured.chunks]
    assert found == sorted(found) and found[0] < 0.7 and found[-1] > drift.NOTICED
    assert measured.json()["corrected"] is True and len(measured.json()["drift"]) == 4
    before, after = (
        [colours(pixels) for pixels in rgb_pixels(given)]
        for given in (frames(kind, amount), drift.corrected(frames(kind, amount), measured))
    )
    reference = before[0]
    assert distance(before[-1], reference) > 3 * distance(after[-1], reference)
    assert max(distance(one, reference) for one in after) < 1.5
    assert largest_jump(after) < 0.6 * largest_jump(before)


def largest_jump(clip: list[np.ndarray]) -> float:
    """Between the mean colours of a frame and the next one."""
    return max(float(np.linalg.norm((a - b).mean(axis=0))) for a, b in zip(clip, clip[1:], strict=False))


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other, axis=1).mean())


def test_a_moving_camera_is_no_drift() -> None:
    wide = np.random.default_rng(1).integers(0, 255, (SIZE[1], 3 * SIZE[0], 3), np.uint8)
    scaler = Scaler("yuv420p", SIZE)
    pan = (wide[:, index : index + SIZE[0]] for index in range(FRAMES))
    given = (scaler(av.VideoFrame.from_ndarray(np.ascontiguousarray(one), format="rgb24")) for one in pan)
    assert not drift.measure(given, STARTS).is_noticed


def test_a_loss_of_sharpness_is_measured() -> None:
    kernel = Scaler("yuv420p", (SIZE[0] // 4, SIZE[1] // 4))
    back = Scaler("yuv420p", SIZE)
    given = (back(kernel(frame)) if index >= 77 else frame for index, frame in enumerate(frames()))
    sharpness = [one.sharpness for one in drift.measure(given, STARTS).chunks]
    assert sharpness[0] > 0.8 and sharpness[-1] < 0.5
