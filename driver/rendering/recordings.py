"""A scene's voice recording: checked by decoding it, before anything is rendered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np

from ..files import sha256_of
from .input_file import InputFile, must_exist

MAX_SECONDS = 30 * 60
MIN_SECONDS = 0.2
_SILENCE = 10 ** (-60 / 20)


@dataclass(frozen=True)
class Recording(InputFile):
    """A scene's voice, and its length in seconds."""

    seconds: float


def read_recording(path: Path, folder: Path) -> Recording:
    """Decodes a recording to its end.

    Args:
        path: the recording.
        folder: an existing folder for a clean copy, if one has to be made.

    Raises:
        ValueError: it is missing, not audio, broken, silent, shorter than 0.2 s or longer than 30 min.
    """
    must_exist(path)
    try:
        seconds, peak = _measure_audio(path)
    except (av.error.FFmpegError, OSError):
        raise ValueError(
            f"{path.name} cannot be read as audio: export it again as WAV, MP3 or FLAC."
        ) from None
    if seconds < MIN_SECONDS:
        raise ValueError(f"{path.name} lasts {seconds:.2f} s, and a scene needs at least {MIN_SECONDS} s.")
    if seconds > MAX_SECONDS:
        raise ValueError(f"{path.name} lasts {seconds / 60:.0f} min: split it into scenes of at most 30 min.")
    if not peak >= _SILENCE:
        raise ValueError(f"{path.name} is silent: record it again, or check that it is the right file.")
    return Recording(path, sha256_of(path), seconds)


def _measure_audio(path: Path) -> tuple[float, float]:
    """Length in seconds and loudest sample, 0 to 1."""
    samples, rate, peak = 0, 1, 0.0
    with av.open(str(path)) as container:
        if not container.streams.audio:
            raise ValueError(f"{path.name} has no audio in it: choose a voice recording.")
        resampler = av.AudioResampler(format="flt")
        for frame in container.decode(container.streams.audio[0]):
            rate = frame.sample_rate
            if frame.format.name.startswith("u8"):
                raise ValueError(
                    f"{path.name} is 8-bit audio, which ComfyUI cannot read: export it with 16 bits."
                )
            samples += frame.samples
            for part in resampler.resample(frame):
                peak = max(peak, float(np.abs(part.to_ndarray()).max(initial=0)))
    return samples / rate, peak
