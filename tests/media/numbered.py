"""Clips whose frames show their numbers, and whose audio clicks at known samples."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np

from story_studio.media.clip_writer import ClipWriter
from story_studio.media.decoder import decode_audio

RATE = 48_000
BITS = 8
WIDTH, HEIGHT = 128, 64


def pictures(numbers: Sequence[int], width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Frames with their numbers as black and white columns, the lowest bit on the left: uint8."""
    bits = (np.asarray(numbers)[:, None] >> np.arange(BITS)) & 1
    columns = np.repeat(bits * 200 + 28, width // BITS, axis=1).astype(np.uint8)
    return np.repeat(np.repeat(columns[:, None, :, None], height, axis=1), 3, axis=3)


def write_numbered(
    path: Path,
    frames: int,
    fps: Fraction | int = 25,
    clicks: Sequence[int] | None = (),
    channels: int = 1,
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Path:
    """A clip with clicks at these samples of 48 kHz; None for no audio."""
    waveform = np.zeros((0 if clicks is None else channels, round(frames * RATE / fps)), np.float32)
    for at in clicks or ():
        waveform[:, at] = 0.9
    with ClipWriter(path, *size, waveform, RATE, Fraction(fps)) as writer:
        writer.write(pictures(range(frames), *size))
    return path


def numbers(path: Path) -> list[int]:
    """The numbers that a clip's frames show."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            luma = frame.to_ndarray(format="gray").astype(int)
            row = luma[luma.shape[0] // 2]
            middles = (np.arange(BITS) + 0.5) * len(row) / BITS
            found.append(int(((row[middles.astype(int)] > 128) << np.arange(BITS)).sum()))
    return found


def click_samples(path: Path) -> list[int]:
    """The samples at which a clip clicks."""
    audio = np.abs(decode_audio(path)[0]) if decode_audio(path).size else np.zeros(0)
    loud = np.flatnonzero(audio > 0.3)
    groups = np.split(loud, np.flatnonzero(np.diff(loud) > 100) + 1) if loud.size else []
    return [int(group[audio[group].argmax()]) for group in groups]


def ffmpeg(*arguments: str | Path) -> None:
    """Runs ffmpeg's command."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)
