"""The verdict on a clip: its figures against the limits of `thresholds.json`, a sentence for each finding.

A figure has limits above or below, to warn at and to fail at. One whose error is too large to judge by (see
README.md) is a hint: it is shown, and neither fails a clip nor has it made again.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from ..story.keys import hash_parts
from .faces import missing_models
from .figures import Figures
from .method import method

Verdict = Literal["pass", "warn", "fail"]
Level = Literal["fail", "warn", "hint"]
_LEVELS: tuple[Level, ...] = ("fail", "warn", "hint")
_TABLE = Path(__file__).with_name("thresholds.json")
_SMALLEST_LIMIT = 0.1
"""What is taken for a limit near 0 where values are compared in limits."""


class Reading(NamedTuple):
    """A figure as it is judged.

    Attributes:
        figure: its name, `sync.offset_frames` for example; a key of `thresholds.json`.
        at: when, in seconds; None where it holds for the whole clip.
    """

    figure: str
    value: float
    at: float | None = None


class Finding(BaseModel):
    """A figure beyond a limit.

    Attributes:
        figure: its name in `thresholds.json`.
        value, limit: in the figure's unit.
        level: `fail`, `warn`, or `hint` for what is only shown.
        retake: whether the clip may be better with another seed.
        at: when, in seconds; None where it holds for the whole clip.
        text: a sentence without a full stop: "lips lag the voice by about 3 frames from 0:07".
    """

    figure: str
    value: float
    limit: float
    level: Level
    retake: bool
    at: float | None
    text: str

    @property
    def excess(self) -> float:
        """How far the value is beyond the limit, in limits; 0 at it."""
        return abs(_excess(self.value, self.limit, 1))


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Side(_Table):
    """The limits above or below which a figure is bad; `text` is the sentence, see `_sentence`."""

    warn: float | None = None
    fail: float | None = None
    text: str


class Threshold(_Table):
    """An entry of `thresholds.json`.

    Attributes:
        name: of the figure, for people.
        show: the format of a value for people, with its unit.
        retake: whether another seed can help. A clip is made again only for these.
        hint: whether it is only shown.
        needs: another figure; where it fails, this one means nothing.
        sure: the value of `needs` below which this one does not fail a clip and is a warning.
    """

    name: str
    show: str
    retake: bool
    hint: bool = False
    needs: str | None = None
    sure: float | None = None
    above: Side | None = None
    below: Side | None = None

    def shown(self, value: float) -> str:
        """The value for people."""
        return self.show.format(value)

    def severity(self, value: float) -> float:
        """How bad a value is: 1 at the limit to fail at, or to warn at where there is no other."""
        limits = [
            (side.warn if side.fail is None else side.fail, sign)
            for side, sign in ((self.above, 1), (self.below, -1))
            if side
        ]
        return max(1 + _excess(value, limit, sign) for limit, sign in limits if limit is not None)


@cache
def judged_by() -> str:
    """What verdicts depend on besides the clip: how it is measured, whether faces can be measured here, and
    the limits, as 24 hexadecimal digits. Which of several takes is chosen may differ with another one."""
    return hash_parts(method(), str(missing_models() is None), _TABLE.read_bytes())


@cache
def thresholds() -> dict[str, Threshold]:
    """All limits, by figure."""
    table = json.loads(_TABLE.read_text("utf-8"))
    return {figure: Threshold.model_validate(entry) for figure, entry in table.items()}


def judge(figures: Figures) -> tuple[Verdict, list[Finding]]:
    """What is wrong with a clip: its verdict, and at most one finding a figure, the worst first.

    Hints do not change the verdict. Where lips do not follow the voice at all, their offset is not judged.
    """
    worst = worst_readings(figures)
    bad = (one.figure for one in readings(figures) if _limit(thresholds()[one.figure], one.value))
    counts = Counter(bad)
    found = {name: _finding(name, worst, counts[name], figures) for name in worst}
    findings = [finding for finding in found.values() if finding and not _is_moot(finding, found)]
    findings.sort(key=lambda finding: (_LEVELS.index(finding.level), -finding.excess))
    levels = {finding.level for finding in findings}
    return "fail" if "fail" in levels else "warn" if "warn" in levels else "pass", findings


def rank(findings: list[Finding]) -> tuple[int, float]:
    """How bad a clip is, to choose between takes: how many failures, then how far beyond their limits."""
    failures = [finding for finding in findings if finding.level == "fail"]
    return len(failures), sum(finding.excess for finding in failures)


def worst_readings(figures: Figures) -> dict[str, Reading]:
    """The worst reading of each figure that was measured, by the figures' names."""
    worst: dict[str, Reading] = {}
    for reading in readings(figures):
        entry, known = thresholds()[reading.figure], worst.get(reading.figure)
        if known is None or entry.severity(reading.value) > entry.severity(known.value):
            worst[reading.figure] = reading
    return worst


def readings(figures: Figures) -> Iterator[Reading]:
    """All that is judged of a clip; spans are judged by their seconds, each by itself."""
    yield from _of_the_face(figures)
    frames = figures.frames
    yield from (Reading("frames.frozen", span.end - span.start, span.start) for span in frames.frozen)
    yield from (Reading("frames.black", span.end - span.start, span.start) for span in frames.black)
    yield Reading("frames.flicker", frames.flicker, frames.flicker_at)
    yield Reading("frames.sharpness", frames.sharpness, frames.sharpness_at)
    yield Reading("color.drift", figures.color.drift, figures.color.at)
    yield Reading("seams.largest", figures.seams.largest, figures.seams.at)
    if figures.lengths.audio is not None:
        yield Reading("lengths.difference", figures.lengths.video - figures.lengths.audio)
    yield from _of_the_voice(figures)


def _of_the_face(figures: Figures) -> Iterator[Reading]:
    if face := figures.face:
        first = face.lost[0].start if face.lost else None
        yield Reading("face.present", face.present, first)
        yield from (Reading("face.lost", span.end - span.start, span.start) for span in face.lost)
        if face.height is not None:
            yield Reading("face.height", face.height)
        if face.jitter is not None:
            yield Reading("face.jitter", face.jitter)
    if (sync := figures.sync) and sync.confidence is not None:
        yield Reading("sync.confidence", sync.confidence)
        if sync.offset_frames is not None:
            yield Reading("sync.offset_frames", sync.offset_frames, sync.start)
    if (identity := figures.identity) and identity.similarity is not None:
        yield Reading("identity.similarity", identity.similarity, identity.at)


def _of_the_voice(figures: Figures) -> Iterator[Reading]:
    voice = figures.voice
    spoken = sum(span.end - span.start for span in voice.speech) if voice else 0.0
    if figures.talking:
        yield Reading("voice.speech", spoken)
    if voice is None or not spoken:
        return
    if voice.loudness is not None:
        yield Reading("voice.loudness", voice.loudness)
    yield Reading("voice.clipped", voice.clipped)
    if voice.speech_to_noise is not None:
        yield Reading("voice.speech_to_noise", voice.speech_to_noise)
    yield Reading("voice.cut_start", float(voice.cut_start), voice.speech[0].start)
    yield Reading("voice.cut_end", float(voice.cut_end), voice.speech[-1].end)


def _is_moot(finding: Finding, found: Mapping[str, Finding | None]) -> bool:
    needed = found.get(thresholds()[finding.figure].needs or "")
    return needed is not None and needed.level != "warn"


def _finding(figure: str, worst: Mapping[str, Reading], count: int, figures: Figures) -> Finding | None:
    reading, entry = worst[figure], thresholds()[figure]
    crossed = _limit(entry, reading.value)
    if crossed is None:
        return None
    side, level, limit = crossed
    if entry.sure is not None and worst[entry.needs or ""].value < entry.sure:
        level = "warn"
    faceless = figure.startswith("face.") and figures.face and figures.face.in_reference is False
    hint = entry.hint or bool(faceless)
    return Finding(
        figure=figure,
        value=reading.value,
        limit=limit,
        level="hint" if hint else level,
        retake=entry.retake and level == "fail" and not hint,
        at=reading.at,
        text=_sentence(side.text, reading, count, figures),
    )


def _limit(entry: Threshold, value: float) -> tuple[Side, Literal["fail", "warn"], float] | None:
    """The limit that a value is beyond, with its side and level; None if it is within all."""
    for side, sign in ((entry.above, 1), (entry.below, -1)):
        if side and side.fail is not None and sign * (value - side.fail) > 0:
            return side, "fail", side.fail
        if side and side.warn is not None and sign * (value - side.warn) > 0:
            return side, "warn", side.warn
    return None


def _excess(value: float, limit: float, sign: int) -> float:
    """How far a value is beyond a limit, in limits; below 0 within it. `sign` is -1 for a lower limit."""
    return sign * (value - limit) / max(abs(limit), _SMALLEST_LIMIT)


def _sentence(template: str, reading: Reading, count: int, figures: Figures) -> str:
    """Fills a sentence in. What stands in [brackets] is left out where it has no value.

    Its fields: `value`; `size`, without its sign; `missing`, 1 less it; `frames`, "3 frames"; `at`, "0:07";
    `more`, how often besides; `start`, what the face is compared with.
    """
    frames = max(1, round(abs(reading.value)))
    fields = {
        "value": reading.value,
        "size": abs(reading.value),
        "missing": 1 - reading.value,
        "frames": f"{frames} frames" if frames > 1 else "1 frame",
        "at": None if reading.at is None else clock(reading.at),
        "more": None if count < 2 else "1 more time" if count == 2 else f"{count - 1} more times",
        "start": "reference" if figures.referenced else "first second",
    }

    def optional(part: re.Match[str]) -> str:
        names = re.findall(r"{(\w+)", part[1])
        return "" if any(fields[name] is None for name in names) else part[1]

    return re.sub(r"\[(.*?)\]", optional, template).format(**fields)


def clock(seconds: float) -> str:
    """A time as players show it, 0:07 or 1:02:03, rounded down."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
