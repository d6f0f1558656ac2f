"""What the storyboard panel shows of the checks of clips."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any

from ..checks.check import Check, read_check
from ..checks.verdict import thresholds, worst_readings
from ..files import read_once
from ..results import result_store
from ..story.results import Kind

FIGURES = (
    "sync.offset_frames",
    "sync.confidence",
    "identity.similarity",
    "frames.frozen",
    "frames.flicker",
    "seams.largest",
)
"""The figures that are shown of a take, where they were measured."""


def checks_named(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The checks with these names, by the keys of the clips that they are of; of several the newest.

    Returns:
        `verdict`: pass, warn or fail.
        `finding`: the worst one, with the `name` and `value` of its figure and its sentence, `text`; or None.
        `figures`: the `name` and `value` of each of FIGURES, as text for people.
        `sheet`: the image of the worst moments, as /view addresses it.
    """
    folder = result_store.folder_of(Kind.CHECK)
    starts = {result_store.place(Kind.CHECK, name, "").name.removesuffix(Kind.CHECK.suffix) for name in names}
    dated = []
    for entry in os.scandir(folder) if folder.is_dir() else ():
        if f"{entry.name.rsplit('.', 2)[0]}." in starts and entry.name.endswith(Kind.CHECK.suffix):
            # It may be deleted meanwhile.
            with suppress(OSError):
                path = Path(entry.path)
                dated.append((entry.stat().st_mtime_ns, path, *_shown(path)))
    found = {}
    for _, path, clip, shown in sorted(dated, key=itemgetter(0, 1)):
        if clip:
            found[clip] = shown | {"sheet": result_store.item(path)}
    return found


@read_once(4096)
def _shown(path: Path) -> tuple[str, dict[str, Any]]:
    """The key of the clip, and what is shown of its check; no key for a file that holds none."""
    check = read_check(path)
    if not check:
        return "", {}
    finding = next((_finding(one.figure, one.value, one.text) for one in check.findings), None)
    return check.clip, {"verdict": check.verdict, "finding": finding, "figures": _figures(check)}


def _finding(figure: str, value: float, text: str) -> dict[str, str]:
    entry = thresholds()[figure]
    return {"name": entry.name, "value": entry.shown(value), "text": text}


def _figures(check: Check) -> list[dict[str, str]]:
    worst = worst_readings(check.figures)
    shown = [(thresholds()[figure], worst[figure].value) for figure in FIGURES if figure in worst]
    return [{"name": entry.name, "value": entry.shown(value)} for entry, value in shown]
