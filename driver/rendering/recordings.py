"""A scene's voice recording, or a film's music: checked by decoding it, before anything is rendered."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, groupby
from pathlib import Path

import av
import numpy as np

from story_studio.checks.recording import MUSIC, VOICE, Measured, Role, Unusable, examine, warnings
from story_studio.checks.voice import VoiceMeter
from story_studio.signal.audio_decoder import Block, Findings, decode
from story_studio.story.levels import repaired

from ..files import sha256_of
from .input_file import InputFile, must_exist

_COPY_RATE = 48_000
"""The highest sample rate of a clean copy, which is that of a clip."""
_COPY_CHANNELS = 8
"""A clean copy of audio with more channels is mono."""


@dataclass(frozen=True)
class Recording(InputFile):
    """A scene's voice or a film's music, and its length in seconds."""

    seconds: float


def read_recording(path: Path, folder: Path) -> Recording:
    """Decodes a recording to its end.

    A recording that ComfyUI's loader reads well is passed on as it is, because the results that were made
    from it are found by its hash. A clean copy, a 16-bit WAV, takes its place if

    - the loader fails on it: tags that are not UTF-8, packets that cannot be decoded, something in front of
      the audio, 8-bit or 64-bit samples;
    - the loader would read something else: the sample rate or the channels change, or the default audio
      stream is not the first;
    - the model would hear something else: samples that are not numbers, channels that cancel out, a constant
      offset, samples far beyond full scale.

    Args:
        path: the recording.
        folder: an existing folder for a clean copy, if one has to be made.

    Raises:
        ValueError: it is missing, not audio, broken, silent, shorter than 0.2 s or longer than 30 min.
    """
    return _read(path, folder, VOICE)


def read_music(path: Path, folder: Path) -> Recording:
    """Like `read_recording`, for music, which lasts at least a second."""
    return _read(path, folder, MUSIC)


def _read(path: Path, folder: Path, role: Role) -> Recording:
    must_exist(path)
    try:
        measured = examine(path, role)
    except Unusable as error:
        raise ValueError(f"{path.name} {error.fault.text}") from None
    copy = _write_copy(path, folder, measured) if measured.needs_copy else path
    found = [f"{path.name} {fault.text}" for fault in warnings(measured)]
    return Recording(copy, sha256_of(copy), measured.seconds, warnings=tuple(found))


def _write_copy(path: Path, folder: Path, measured: Measured) -> Path:
    """Writes what can be used of a recording as a 16-bit WAV; the same recording gives the same bytes."""
    measured.voice = VoiceMeter() if measured.voice else None
    copy = folder / f"{path.stem[:40]}-clean.wav"
    rate = min(_COPY_RATE, max(measured.samples, key=lambda rate: measured.samples[rate] / rate))
    try:
        parts = _resampled(_cleaned(path, measured), rate)
        first = next(parts)
        with wave.open(str(copy), "wb") as file:
            file.setparams((len(first), 2, rate, 0, "NONE", ""))
            for samples in chain([first], parts):
                whole = np.rint(samples * 2**15).clip(-(2**15), 2**15 - 1).astype("<i2")
                file.writeframesraw(whole.T.tobytes())
    except OSError as error:
        raise ValueError(
            f"A clean copy of {path.name} cannot be written to {folder}: {error.strerror}. Make room there."
        ) from None
    return copy


def _cleaned(path: Path, measured: Measured) -> Iterator[Block]:
    levels = measured.levels
    gain = np.float32(1 / max(1.0, levels.peak))
    offsets = levels.offsets.astype(np.float32)[:, None]
    for block in decode(path, Findings()):
        samples = repaired(block.samples)
        if len(samples) != levels.channels or levels.channels == 1:
            samples = samples.mean(axis=0, keepdims=True)
        samples = (samples - offsets) * gain
        if levels.used_channel is not None:
            samples = samples[levels.used_channel : levels.used_channel + 1]
        elif len(samples) > _COPY_CHANNELS:
            samples = samples.mean(axis=0, keepdims=True)
        if measured.voice:
            measured.voice.add(samples.mean(axis=0), block.rate)
        yield Block(samples, block.rate)


def _resampled(blocks: Iterator[Block], rate: int) -> Iterator[np.ndarray]:
    for source_rate, run in groupby(blocks, lambda block: block.rate):
        parts = (block.samples for block in run)
        yield from parts if source_rate == rate else _resample(parts, source_rate, rate)


def _resample(parts: Iterator[np.ndarray], source_rate: int, rate: int) -> Iterator[np.ndarray]:
    resampler, position, channels = None, 0, 1
    for part in parts:
        layout = {1: "mono", 2: "stereo"}.get(len(part), f"{len(part)}c")
        resampler = resampler or av.AudioResampler("flt", layout, rate)
        channels = len(part)
        # Interleaved, because PyAV crashes on planes of eight channels or more.
        frame = av.AudioFrame.from_ndarray(part.T.reshape(1, -1), "flt", layout)
        frame.sample_rate, frame.pts, frame.time_base = source_rate, position, Fraction(1, source_rate)
        position += part.shape[1]
        yield from (block.to_ndarray().reshape(-1, channels).T for block in resampler.resample(frame))
    if resampler:
        yield from (block.to_ndarray().reshape(-1, channels).T for block in resampler.resample(None))
