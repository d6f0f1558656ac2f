"""What is wrong with a voice: its level, the noise under it, clipping and words that are cut.

It is measured in blocks, in nearly flat memory. Loudness in LUFS is measured by `signal.loudness`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..signal.voice_levels import WINDOW, is_speech, level, levels_by_second, spans_of
from .figures import Span, Voice
from .verdict import thresholds

_NOTHING = -80.0
"""dBFS. Below is the digital silence of an editor or of a synthetic voice, which says nothing of the room."""
_MOSTLY_LIVE = 0.8
"""Part of the levels of a recording that are above it, at least; one with more silence has no noise."""
_QUIETEST = 5
"""Per cent of the levels that are as quiet as the noise floor."""
_AT_PEAK, _NEAR_PEAK, _SLOPE = 0.98, 0.9, 44.0
"""Parts of the peak from which on a wave is at it, or near it, and that it moves in a second, at most, where
it is cut off."""
_CROWDED = 1.0
"""Samples at the peak of a wave that is cut off, as a multiple of those near it; others have fewer."""
_EDGE, _CUT = 0.005, -21.0
"""Seconds at the start and the end, and dB relative to the words above which they are part of a word."""


class VoiceMeter:
    """Measures a voice that is added in blocks, but for its loudness."""

    def __init__(self) -> None:
        self._rate = self._samples = self._flat = self._at_peak = self._near_peak = 0
        self._peak = 0.0
        self._rest = self._first = self._last = np.zeros(0, np.float32)
        self._levels: list[np.ndarray] = []

    def add(self, block: np.ndarray, rate: int) -> None:
        """Adds audio, float [n], without damaged samples; the rate in Hz may change."""
        if rate != self._rate:
            self._flush()
            self._rate = rate
        self._count_flat(block)
        self._samples += len(block)
        edge = max(1, round(rate * _EDGE))
        self._first = self._first if len(self._first) >= edge else np.append(self._first, block)[:edge]
        self._last = np.append(self._last[-edge:], block)[-edge:]
        audio = np.concatenate([self._rest, block])
        whole = len(audio) // rate * rate
        self._levels.append(levels_by_second(audio[:whole], rate, WINDOW))
        self._rest = audio[whole:]

    def result(self) -> Voice:
        """What was measured. Nothing can be added after."""
        self._flush()
        levels = np.concatenate([np.zeros(0), *self._levels])
        speech = is_speech(levels)
        if not speech.any():
            return Voice()
        live = levels[levels > _NOTHING]
        floor = float(np.percentile(live if len(live) >= _MOSTLY_LIVE * len(levels) else levels, _QUIETEST))
        noise, words = 10 ** (floor / 10), float(np.mean(10 ** (levels[speech] / 10)))
        loud = 10 * np.log10(words)
        start, end = (float(level(edge, len(edge))[0] - loud) for edge in (self._first, self._last))
        return Voice(
            peak=20 * float(np.log10(max(self._peak, 1e-6))),
            clipped=self._clipped / self._samples,
            level=float(loud),
            noise_floor=floor,
            speech_to_noise=10 * float(np.log10(max(words - noise, noise / 1000) / noise)),
            speech=[Span(start=start, end=end) for start, end in spans_of(speech)],
            start_level=start,
            end_level=end,
            cut_start=start > _CUT,
            cut_end=end > _CUT,
        )

    def _flush(self) -> None:
        if len(self._rest):
            self._levels.append(levels_by_second(self._rest, self._rate, WINDOW))
        self._rest = self._rest[:0]

    @property
    def _clipped(self) -> int:
        return self._flat if self._at_peak > _CROWDED * self._near_peak else 0

    def _count_flat(self, block: np.ndarray) -> None:
        """Counts samples that stand at the peak. A wave turns there, and only one that is cut off stays."""
        loud = np.abs(block)
        peak = float(loud.max(initial=0.0))
        if peak * _AT_PEAK > self._peak:
            self._flat = self._at_peak = self._near_peak = 0
        self._peak = max(self._peak, peak)
        is_near, is_at = loud >= _NEAR_PEAK * self._peak, loud >= _AT_PEAK * self._peak
        stays = np.abs(np.diff(block)) <= _SLOPE / self._rate * self._peak
        self._at_peak += int(np.count_nonzero(is_at))
        self._near_peak += int(np.count_nonzero(is_near & ~is_at))
        self._flat += int(np.count_nonzero(stays & is_at[1:]))


class Fault(NamedTuple):
    """What is wrong with a recording.

    Attributes:
        kind: a word for it.
        text: what it is and what to do, the end of a sentence that starts with the recording's name.
    """

    kind: str
    text: str


def faults(voice: Voice) -> list[Fault]:
    """What is wrong with a voice that can be used."""
    if voice.level is None or voice.speech_to_noise is None:
        return []
    found: list[Fault] = []
    if _is_beyond("voice.clipped", voice.clipped):
        found.append(
            Fault(
                "clipped",
                f"is clipped: {voice.clipped:.2%} of it is cut off at its peaks. Record it with less gain, "
                "or take it as it was before it was made louder.",
            )
        )
    if _is_beyond("voice.speech_to_noise", voice.speech_to_noise):
        found.append(
            Fault(
                "noisy",
                f"is noisy: its words are only {voice.speech_to_noise:.0f} dB louder than what is between "
                "them. Record it in a quieter place, or take out the noise or the music.",
            )
        )
    # Of speech, this level is within 3 dB of its loudness in LUFS.
    if _is_beyond("voice.loudness", voice.level):
        found.append(
            Fault(
                "soft",
                f"is very soft: its words are at {voice.level:.0f} dB of full scale. Record it closer to the "
                "microphone or with more gain, so that raising it does not raise noise.",
            )
        )
    if voice.cut_start:
        found.append(
            Fault(
                "cut first",
                f"starts in the middle of a word: its first 5 ms are at {voice.start_level:+.0f} dB of its "
                "level. If the first word is cut, record it again with a moment of silence before it.",
            )
        )
    if voice.cut_end:
        found.append(
            Fault(
                "cut last",
                f"ends in the middle of a word: its last 5 ms are at {voice.end_level:+.0f} dB of its level. "
                "If the last word is cut, record it again with a moment of silence after it.",
            )
        )
    return found


def _is_beyond(figure: str, value: float) -> bool:
    entry = thresholds()[figure]
    above, below = entry.above and entry.above.warn, entry.below and entry.below.warn
    return (above is not None and value > above) or (below is not None and value < below)
