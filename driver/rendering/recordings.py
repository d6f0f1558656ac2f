"""A scene's voice recording, or a film's music: checked by decoding it, before anything is rendered."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, groupby
from math import floor
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from story_studio.checks.voice import VoiceMeter, faults
from story_studio.story.levels import LOUD_PEAK, Levels, repaired

from ..files import sha256_of
from .audio_decoder import Block, Findings, NoAudio, NotAudio, decode
from .input_file import InputFile, must_exist

MAX_SECONDS = 30 * 60
MIN_SECONDS = 0.2
MIN_MUSIC_SECONDS = 1.0
"""Less, repeated, would be a buzz, which the nodes refuse."""
_UNREADABLE = {
    "": "{} cannot be read as audio: export it again as WAV, MP3 or FLAC.",
    "empty": "{} cannot be read as audio, because it is empty: copy or export it again.",
    "text": "{} cannot be read as audio, because it is a text such as a web page or a playlist: choose the "
    "recording itself.",
}
_RATES = (1_000, 768_000)
_COPY_RATE = 48_000
"""The highest sample rate of a clean copy, which is that of a clip."""
_COPY_CHANNELS = 8
"""A clean copy of audio with more channels is mono."""
_NOTICED = 0.1
"""Seconds of audio whose loss is noticed: codecs pad the end by less."""


class _Role(NamedTuple):
    """What a recording is for: the least seconds of it, and how messages speak of it."""

    least: float
    needs: str
    choose: str
    if_long: str
    if_silent: str


_VOICE = _Role(
    MIN_SECONDS,
    f"a scene needs at least {MIN_SECONDS} s",
    "choose a voice recording",
    "split it into scenes of at most 30 min",
    "record it again, or check that it is the right file",
)
_MUSIC = _Role(
    MIN_MUSIC_SECONDS,
    "music needs at least a second",
    "choose a piece of music",
    "cut it to at most 30 min",
    "check that it is the right file",
)


@dataclass(frozen=True)
class Recording(InputFile):
    """A scene's voice or a film's music, and its length in seconds."""

    seconds: float


@dataclass
class _Measured:
    """What was found by decoding a recording once.

    Attributes:
        findings: what the decoder noticed.
        levels: of all channels, or of their mean where their number changes.
        samples: how many there are of each sample rate.
        voice: of the mean of all channels, or of the clean copy that takes its place; None for music.
    """

    findings: Findings = field(default_factory=Findings)
    levels: Levels = field(default_factory=Levels)
    samples: dict[int, int] = field(default_factory=dict)
    voice: VoiceMeter | None = None

    @property
    def seconds(self) -> float:
        """How long the recording is."""
        return sum(count / rate for rate, count in self.samples.items())

    @property
    def lost(self) -> float:
        """Seconds that could not be decoded."""
        return max(self.findings.lost, self.findings.declared - self.findings.decoded)

    @property
    def needs_copy(self) -> bool:
        """Whether it cannot be passed on as it is."""
        levels = self.levels
        changed = levels.damaged or levels.heard is not None or levels.offsets.any()
        return bool(self.findings.needs_copy or changed or levels.peak > LOUD_PEAK)


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
    return _read(path, folder, _VOICE)


def read_music(path: Path, folder: Path) -> Recording:
    """Like `read_recording`, for music, which lasts at least a second."""
    return _read(path, folder, _MUSIC)


def _read(path: Path, folder: Path, role: _Role) -> Recording:
    must_exist(path)
    try:
        measured = _measure(path, role is _VOICE)
    except NotAudio as error:
        raise ValueError(_UNREADABLE[str(error)].format(path.name)) from None
    except NoAudio:
        raise ValueError(f"{path.name} has no audio in it: {role.choose}.") from None
    # Decoders and PyAV raise anything, and only the scene of this recording may fail.
    except Exception:
        raise ValueError(_UNREADABLE[""].format(path.name)) from None
    problem = _problem(measured, role)
    if problem:
        raise ValueError(problem.format(path.name))
    copy = _write_copy(path, folder, measured) if measured.needs_copy else path
    warnings = [*_warnings(measured), *_faults(measured)]
    return Recording(
        copy, sha256_of(copy), measured.seconds, warnings=tuple(f"{path.name} {what}" for what in warnings)
    )


def _measure(path: Path, is_voice: bool, as_mono: bool = False) -> _Measured:
    """Decodes a recording, or as much of it as shows that it is too long."""
    measured = _Measured(voice=VoiceMeter() if is_voice else None)
    for block in decode(path, measured.findings):
        samples = repaired(block.samples).mean(axis=0, keepdims=True) if as_mono else block.samples
        if measured.levels.channels not in (0, len(samples)):
            return _measure(path, is_voice, as_mono=True)
        measured.levels.add(samples)
        if measured.voice:
            measured.voice.add(repaired(samples).mean(axis=0), block.rate)
        measured.samples[block.rate] = measured.samples.get(block.rate, 0) + samples.shape[1]
        if measured.seconds > MAX_SECONDS:
            break
    return measured


def _problem(measured: _Measured, role: _Role) -> str | None:
    """What is wrong with a recording, with {} for its name, and what to do; None if it can be used."""
    seconds, levels, findings = measured.seconds, measured.levels, measured.findings
    if not levels.samples:
        return _UNREADABLE[""]
    if findings.failures > findings.packets:
        return "{} is damaged, and most of it cannot be decoded: copy or export it again."
    if not all(_RATES[0] <= rate <= _RATES[1] for rate in measured.samples):
        rates = " and ".join(map(str, measured.samples))
        return f"{{}} states a sample rate of {rates} Hz, which cannot be right: export it again."
    if seconds < role.least:
        return f"{{}} lasts {floor(seconds * 100) / 100} s, and {role.needs}."
    if seconds > MAX_SECONDS:
        return f"{{}} is longer than 30 min: {role.if_long}."
    if levels.is_lost:
        return "{} is damaged, and most of its samples are not numbers: export it again."
    if levels.is_silent:
        return f"{{}} is silent: {role.if_silent}."
    return None


def _warnings(measured: _Measured) -> Iterator[str]:
    """What the user should know about a recording, as ends of sentences that start with its name."""
    levels, findings = measured.levels, measured.findings
    if findings.streams > 1:
        yield f"has {findings.streams} audio tracks: track {findings.stream + 1} is used."
    lost = measured.lost
    # What cannot be decoded at the end is usually a tag or padding.
    if findings.failures and (findings.failed_at < findings.decoded or findings.lost > _NOTICED):
        minutes, seconds = divmod(int(findings.failed_at), 60)
        part = f"{lost:.2f} s" if lost >= 0.01 else "a part"
        yield (
            f"is damaged at {minutes}:{seconds:02}: {part} could not be decoded and was left out. Listen to "
            "it, and export it again if words are missing."
        )
    elif lost > _NOTICED:
        yield (
            f"should last {findings.declared:.1f} s, and only {findings.decoded:.1f} s can be decoded: if "
            "words are missing, copy or export it again."
        )
    if levels.damaged:
        yield "has samples that are not numbers, which were replaced by silence: export it again."
    if levels.heard is not None:
        yield (
            f"has channels that cancel out, as in opposite phase: only channel {levels.heard + 1} of "
            f"{levels.channels} is used."
        )
    if levels.peak > LOUD_PEAK:
        yield f"is {20 * np.log10(levels.peak):.0f} dB louder than full scale: its volume was lowered."


def _faults(measured: _Measured) -> list[str]:
    """What is wrong with a voice, as `_warnings`."""
    # What is left of a damaged one says little, and that it is damaged has been said.
    return faults(measured.voice.result()) if measured.voice and measured.lost <= _NOTICED else []


def _write_copy(path: Path, folder: Path, measured: _Measured) -> Path:
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


def _cleaned(path: Path, measured: _Measured) -> Iterator[Block]:
    levels = measured.levels
    gain = np.float32(1 / max(1.0, levels.peak))
    offsets = levels.offsets.astype(np.float32)[:, None]
    for block in decode(path, Findings()):
        samples = repaired(block.samples)
        if len(samples) != levels.channels or levels.channels == 1:
            samples = samples.mean(axis=0, keepdims=True)
        samples = (samples - offsets) * gain
        if levels.heard is not None:
            samples = samples[levels.heard : levels.heard + 1]
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
