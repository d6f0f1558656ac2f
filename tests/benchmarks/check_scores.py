"""Counting what checks find of the faults that were made, and what they find where there is none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Any

import numpy as np

from story_studio.checks.figures import Figures
from story_studio.checks.verdict import Finding, judge, thresholds

from .check_faults import KINDS
from .table import Cell

FALSE_ALARMS = 0.05
"""The goal: the share of faultless clips in which a fault is found."""
_NEAR = 0.5
"""Seconds within which the time of a finding is right."""


@dataclass(frozen=True)
class Outcome:
    """A clip that was made and measured.

    Attributes:
        window, fps: where it was cut from, and its rate.
        kind, size: the fault, see `check_faults.KINDS`.
        at: when it happens, in seconds; None if it is everywhere.
        figures: what was measured, as JSON.
    """

    window: str
    fps: int
    kind: str
    size: float
    at: float | None
    figures: dict[str, Any]

    @cached_property
    def findings(self) -> list[Finding]:
        """What today's limits say of its figures."""
        return judge(Figures.model_validate(self.figures))[1]

    @cached_property
    def alarms(self) -> list[Finding]:
        """The findings beyond the limit to fail at, also if they are hints; or to warn at without another."""
        return [finding for finding in self.findings if _is_alarm(finding)]

    @cached_property
    def found(self) -> list[Finding]:
        """The alarms that this kind of fault should raise."""
        return [alarm for alarm in self.alarms if _concerns(alarm.figure, KINDS[self.kind].figures)]

    @property
    def offset(self) -> float | None:
        """By how many frames the sound was found to be late."""
        return (self.figures.get("sync") or {}).get("offset_frames")


def _is_alarm(finding: Finding) -> bool:
    entry = thresholds()[finding.figure]
    sides = [side for side in (entry.above, entry.below) if side]
    return any(finding.limit == (side.warn if side.fail is None else side.fail) for side in sides)


def _concerns(figure: str, names: Iterable[str]) -> bool:
    return any(figure == name or figure.startswith(f"{name}.") for name in names)


def wilson(count: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson's score (E. B. Wilson, JASA 22, 1927).

    Raises:
        ZeroDivisionError: of nothing.
    """
    z, share = 1.959964, count / of
    middle = share + z * z / (2 * of)
    spread = z * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return (middle - spread) / (1 + z * z / of), (middle + spread) / (1 + z * z / of)


def fault_rows(outcomes: list[Outcome]) -> list[dict[str, Cell]]:
    """A row for each fault and size, in the order of `KINDS`; shifts by rate too."""
    groups: dict[tuple[str, float, int], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        if KINDS[outcome.kind].figures:
            rate = outcome.fps if outcome.kind == "shift" else 0
            groups[outcome.kind, outcome.size, rate].append(outcome)
    order = list(KINDS)
    known = sorted(groups, key=lambda group: (order.index(group[0]), group[2], group[1]))
    return [_fault_row(groups[group], *group) for group in known]


def _fault_row(group: list[Outcome], name: str, size: float, fps: int) -> dict[str, Cell]:
    kind = KINDS[name]
    found = [outcome for outcome in group if outcome.found]
    placed = [
        any(alarm.at is not None and abs(alarm.at - outcome.at) <= _NEAR for alarm in outcome.found)
        for outcome in found
        if outcome.at is not None
    ]
    row: dict[str, Cell] = {"fault": name, "fps": fps or "all", "size": f"{size:g} {kind.unit}".strip()}
    row |= _shares(len(found), len(group), "found", "missed")
    counts = abs(size) >= kind.least
    row |= {"at its time": sum(placed) if placed else None, "goal": f"{kind.goal:.0%}" if counts else None}
    return row | {"met": ("yes" if len(found) >= kind.goal * len(group) else "NO") if counts else None}


def goal_rows(outcomes: list[Outcome]) -> list[dict[str, Cell]]:
    """A row for each kind of fault, of the sizes that should be found."""
    rows = []
    for name, kind in KINDS.items():
        group = [one for one in outcomes if one.kind == name and abs(one.size) >= kind.least]
        if kind.figures and group:
            row = _shares(sum(bool(one.found) for one in group), len(group), "found", "missed")
            sizes = f"{kind.least:g} {kind.unit} and more" if kind.least else "all"
            met = "yes" if row["found"] >= kind.goal * len(group) else "NO"  # type: ignore[operator]
            rows.append({"fault": name, "sizes": sizes} | row | {"goal": f"{kind.goal:.0%}", "met": met})
    return rows


def alarm_rows(outcomes: list[Outcome]) -> list[dict[str, Cell]]:
    """A row for each figure: false alarms in faultless clips; of the voice's, in those with quiet ends."""
    rows = []
    for figure in thresholds():
        kind = "quiet-ends" if figure.startswith(("voice.", "lengths.")) else "as-it-is"
        clean = [outcome for outcome in outcomes if outcome.kind == kind]
        if not clean:
            continue
        false = sum(any(alarm.figure == figure for alarm in outcome.alarms) for outcome in clean)
        warned = sum(any(finding.figure == figure for finding in outcome.findings) for outcome in clean)
        rows.append({"figure": figure} | _alarm_row(false, len(clean)) | {"warnings": warned - false})
    for kind in ("as-it-is", "quiet-ends"):
        clean = [outcome for outcome in outcomes if outcome.kind == kind]
        if clean:
            false = sum(_fails(outcome) for outcome in clean)
            warned = sum(bool(outcome.findings) for outcome in clean)
            name = f"any that fails a clip, {kind}"
            rows.append({"figure": name} | _alarm_row(false, len(clean)) | {"warnings": warned - false})
    return rows


def _alarm_row(false: int, of: int) -> dict[str, Cell]:
    met = "yes" if false <= FALSE_ALARMS * of else "NO"
    return _shares(false, of, "alarms", None) | {"goal": f"{FALSE_ALARMS:.0%}", "met": met}


def _fails(outcome: Outcome) -> bool:
    return any(finding.level == "fail" for finding in outcome.findings)


def _shares(count: int, of: int, what: str, other: str | None) -> dict[str, Cell]:
    low, high = wilson(count, of)
    row: dict[str, Cell] = {"made": of, what: count}
    if other:
        row[other] = of - count
    return row | {"share": f"{count / of:.0%}", "95 %": f"{low:.0%}-{high:.0%}"}


def offset_rows(outcomes: list[Outcome]) -> list[dict[str, Cell]]:
    """How far measured offsets are from the shifts that were made, in frames, by rate."""
    rows = []
    for fps in sorted({outcome.fps for outcome in outcomes}):
        group = [one for one in outcomes if one.kind in ("shift", "as-it-is") and one.fps == fps]
        errors = np.array([one.offset - one.size for one in group if one.offset is not None])
        if not len(errors):
            continue
        far = np.abs(errors)
        row: dict[str, Cell] = {"fps": fps, "clips": len(group), "without": len(group) - len(errors)}
        row |= {f"{part} %": float(np.percentile(errors, part)) for part in (5, 25, 50, 75, 95)}
        row |= {f"within {most}": f"{np.mean(far <= most):.0%}" for most in (0.5, 1, 2)}
        rows.append(row)
    return rows


def unexpected(outcomes: list[Outcome]) -> list[dict[str, Cell]]:
    """Every clip with a fault that was missed, or with a false alarm: what to look at."""
    rows: list[dict[str, Cell]] = []
    for one in outcomes:
        kind = KINDS[one.kind]
        if kind.figures and abs(one.size) >= kind.least and not one.found:
            what = "missed"
        elif not kind.figures and _fails(one):
            what = ", ".join(f"{one.figure} {one.value:.3g}" for one in one.alarms)
        else:
            continue
        rows.append({"clip": one.window, "fault": f"{one.kind} {one.size:g}".strip(), "seen": what})
    return rows
