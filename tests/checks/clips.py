"""Small clips with known faults."""

from __future__ import annotations

from collections.abc import Container
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FPS = 16
RATE = 16_000


def write_clip(
    path: Path,
    seconds: float = 2.0,
    *,
    frozen: Container[int] = (),
    black: Container[int] = (),
    video: bool = True,
    sound: bool = False,
    seed: int = 0,
) -> Path:
    """A landscape that passes by, 128x96 at 16 fps.

    Args:
        frozen: the frames that repeat the one before.
        black: the frames that are black.
        video: False leaves the video out.
        sound: whether there is a tone that comes and goes.
    """
    count = round(seconds * FPS)
    with av.open(str(path), "w") as container:
        audio = container.add_stream("aac", RATE, layout="mono") if sound else None
        if video:
            stream = container.add_stream("libx264", FPS, options={"crf": "14"})
            stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
            view = _landscape(count, seed)
            place = 0
            for number in range(count):
                place += number not in frozen
                image = view[:, place : place + 128] * (number not in black)
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        if audio is None:
            return path
        times = np.arange(round(seconds * RATE)) / RATE
        tone = (0.2 * np.sin(2 * np.pi * 220 * times) * (times % 1 > 0.4)).astype(np.float32)
        samples = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        samples.sample_rate, samples.pts, samples.time_base = RATE, 0, Fraction(1, RATE)
        container.mux(audio.encode(samples))
        container.mux(audio.encode(None))
    return path


def _landscape(count: int, seed: int) -> np.ndarray:
    """uint8 [96, 128 + count + 1, 3] with structure at several sizes."""
    noise = np.random.default_rng(seed)
    width = 128 + count + 1
    view = np.full((96, width, 3), 110.0)
    for size in (4, 12, 32):
        coarse = noise.normal(0, 22, (96 // size + 2, width // size + 2, 3))
        view += np.kron(coarse, np.ones((size, size, 1)))[:96, :width]
    return view.clip(0, 255).astype(np.uint8)
