"""A voice recording, or a piece of music: what is wrong with it, as it is decoded once.

The driver's preparations and the panel say the same of a recording because both ask here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import floor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..signal.audio_decoder import Block, Findings, NoAudio, NotAudio, decode
from ..story.levels import LOUD_PEAK, MAX_SECONDS, MIN_SECONDS, Levels, repaired
from .voice import Fault, VoiceMeter, faults

_MIN_MUSIC_SECONDS = 1.0
"""Less, repeated, would be a buzz, which the nodes refuse."""
_UNREADABLE = {
    "": "cannot be read as audio: export it again as WAV, MP3 or FLAC.",
    "empty": "cannot be read as audio, because it is empty: copy or export it again.",
    "text": "cannot be read as audio, because it is a text such as a web page or a playlist: choose the "
    "recording itself.",
}
_RATES = (1_000, 768_000)
_NOTICED = 0.1
"""Seconds of audio whose loss is noticed: codecs pad the end by less."""


OnBlock = Callable[[Block, bool], None]


class Role(NamedTuple):
    """What a recording is for: the least seconds of it, and how messages speak of it."""

    least: float
    needs: str
    choose: str
    if_long: str
    if_silent: str


VOICE = Role(
    MIN_SECONDS,
    f"a scene needs at least {MIN_SECONDS} s",
    "choose a voice recording",
    "split it into scenes of at most 30 min",
    "record it again, or check that it is the right file",
)
MUSIC = Role(
    _MIN_MUSIC_SECONDS,
    "music needs at least a second",
    "choose a piece of music",
    "cut it to at most 30 min",
    "check that it is the right file",
)


class Unusable(ValueError):
    """A recording cannot be used.

    Attributes:
        fault: why.
        measured: what was found, where it could be decoded.
    """

    def __init__(self, fault: Fault, measured: Measured | None = None) -> None:
        super().__init__(fault.text)
        self.fault, self.measured = fault, measured


@dataclass
class Measured:
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
        changed = levels.damaged or levels.used_channel is not None or levels.offsets.any()
        return bool(self.findings.needs_copy or changed or levels.peak > LOUD_PEAK)


def _nothing(block: Block, is_first: bool) -> None:
    """Does nothing with a block."""


def examine(path: Path, role: Role, on_block: OnBlock = _nothing) -> Measured:
    """Decodes a recording, or as much of it as shows that it is too long.

    Args:
        path: the recording, which exists.
        role: what it is for.
        on_block: is called with what is decoded, and whether it is the first block: a recording whose
            channels change is decoded again from its start.

    Raises:
        Unusable: it cannot serve in this role.
    """
    try:
        measured = _measure(path, role is VOICE, on_block)
    except NotAudio as error:
        raise Unusable(Fault("unreadable", _UNREADABLE[str(error)])) from None
    except NoAudio:
        raise Unusable(Fault("no audio", f"has no audio in it: {role.choose}.")) from None
    # Decoders and PyAV raise anything, and only the scene of this recording may fail.
    except Exception:
        raise Unusable(Fault("unreadable", _UNREADABLE[""])) from None
    if problem := _problem(measured, role):
        raise Unusable(problem, measured)
    return measured


def warnings(measured: Measured) -> list[Fault]:
    """What the user should know about a recording that can be used."""
    found = [*_noticed(measured)]
    # What is left of a damaged one says little, and that it is damaged has been said.
    if measured.voice and measured.lost <= _NOTICED:
        found += faults(measured.voice.result())
    return found


def _measure(path: Path, is_voice: bool, on_block: OnBlock, as_mono: bool = False) -> Measured:
    measured = Measured(voice=VoiceMeter() if is_voice else None)
    for block in decode(path, measured.findings):
        samples = repaired(block.samples).mean(axis=0, keepdims=True) if as_mono else block.samples
        if measured.levels.channels not in (0, len(samples)):
            return _measure(path, is_voice, on_block, as_mono=True)
        on_block(Block(samples, block.rate), not measured.samples)
        measured.levels.add(samples)
        if measured.voice:
            measured.voice.add(repaired(samples).mean(axis=0), block.rate)
        measured.samples[block.rate] = measured.samples.get(block.rate, 0) + samples.shape[1]
        if measured.seconds > MAX_SECONDS:
            break
    return measured


def _problem(measured: Measured, role: Role) -> Fault | None:
    """Why a recording cannot be used, and what to do; None if it can."""
    seconds, levels, findings = measured.seconds, measured.levels, measured.findings
    if not levels.samples:
        return Fault("unreadable", _UNREADABLE[""])
    if findings.failures > findings.packets:
        return Fault("unreadable", "is damaged, and most of it cannot be decoded: copy or export it again.")
    if not all(_RATES[0] <= rate <= _RATES[1] for rate in measured.samples):
        rates = " and ".join(map(str, measured.samples))
        text = f"states a sample rate of {rates} Hz, which cannot be right: export it again."
        return Fault("unreadable", text)
    if seconds < role.least:
        return Fault("short", f"lasts {floor(seconds * 100) / 100} s, and {role.needs}.")
    if seconds > MAX_SECONDS:
        return Fault("long", f"is longer than 30 min: {role.if_long}.")
    if levels.is_lost:
        return Fault("unreadable", "is damaged, and most of its samples are not numbers: export it again.")
    if levels.is_silent:
        return Fault("silent", f"is silent: {role.if_silent}.")
    return None


def _noticed(measured: Measured) -> Iterator[Fault]:
    levels, findings = measured.levels, measured.findings
    if findings.streams > 1:
        yield Fault("tracks", f"has {findings.streams} audio tracks: track {findings.stream + 1} is used.")
    lost = measured.lost
    # What cannot be decoded at the end is usually a tag or padding.
    if findings.failures and (findings.failed_at < findings.decoded or findings.lost > _NOTICED):
        minutes, seconds = divmod(int(findings.failed_at), 60)
        part = f"{lost:.2f} s" if lost >= 0.01 else "a part"
        yield Fault(
            "damaged",
            f"is damaged at {minutes}:{seconds:02}: {part} could not be decoded and was left out. Listen to "
            "it, and export it again if words are missing.",
        )
    elif lost > _NOTICED:
        yield Fault(
            "damaged",
            f"should last {findings.declared:.1f} s, and only {findings.decoded:.1f} s can be decoded: if "
            "words are missing, copy or export it again.",
        )
    elif findings.is_cut_off:
        yield Fault(
            "damaged",
            "has no end, like a copy that was interrupted: if words are missing, copy or export it again.",
        )
    if levels.damaged:
        yield Fault(
            "damaged", "has samples that are not numbers, which were replaced by silence: export it again."
        )
    if levels.used_channel is not None:
        yield Fault(
            "channels",
            f"has channels that cancel out, as in opposite phase: only channel {levels.used_channel + 1} of "
            f"{levels.channels} is used.",
        )
    if levels.peak > LOUD_PEAK:
        yield Fault(
            "loud", f"is {20 * np.log10(levels.peak):.0f} dB louder than full scale: its volume was lowered."
        )
