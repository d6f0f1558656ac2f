"""What is shown of a recording: its waveform, length, level, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..files import read_once
from ..signal.audio_decoder import Block
from ..story.levels import repaired
from .recording import VOICE, Measured, Unusable, examine, warnings
from .voice import Fault

COLUMNS = 200
"""The most columns of a waveform."""
_MOMENT = 0.01
"""Seconds of the shortest column."""


@dataclass(frozen=True)
class Shown:
    """A recording as it is shown.

    Attributes:
        seconds: how long it is; 0 if it cannot be decoded.
        peaks: of each column, relative to full scale, from 0 to 1.
        level: of the words in dB of full scale; None without any.
        speech: where the first word starts and the last one ends, in seconds; None without any.
        faults: what is wrong with it.
        usable: whether a clip can be made from it as it is.
    """

    seconds: float = 0.0
    peaks: list[float] = field(default_factory=list)
    level: float | None = None
    speech: tuple[float, float] | None = None
    faults: tuple[Fault, ...] = ()
    usable: bool = True


class _Peaks:
    """The peaks of a recording, a moment each, as it is decoded."""

    def __init__(self) -> None:
        self._moments: list[np.ndarray] = []

    def add(self, block: Block, is_first: bool) -> None:
        if is_first:
            self._moments.clear()
        loud = np.abs(repaired(block.samples)).max(axis=0)
        starts = np.arange(0, len(loud), max(1, round(block.rate * _MOMENT)))
        self._moments.append(np.maximum.reduceat(loud, starts) if len(loud) else loud)

    def columns(self) -> list[float]:
        moments = np.concatenate(self._moments) if self._moments else np.zeros(0)
        if not len(moments):
            return []
        starts = np.unique(np.linspace(0, len(moments), COLUMNS, endpoint=False).astype(int))
        return [round(float(peak), 3) for peak in np.maximum.reduceat(moments, starts).clip(0, 1)]


@read_once(1024)
def shown(path: Path) -> Shown:
    """What is shown of a recording; it is decoded again only after it has changed."""
    peaks = _Peaks()
    try:
        measured = examine(path, VOICE, peaks.add)
    except Unusable as error:
        found, faults = error.measured or Measured(), (error.fault,)
        return Shown(found.seconds, peaks.columns(), faults=faults, usable=error.fault.kind == "silent")
    voice = measured.voice.result() if measured.voice else None
    speech = (voice.speech[0].start, voice.speech[-1].end) if voice and voice.speech else None
    return Shown(
        seconds=measured.seconds,
        peaks=peaks.columns(),
        level=voice.level if voice else None,
        speech=speech,
        faults=tuple(warnings(measured)),
    )
