"""`python -m tests.benchmarks checks [FOLDER_OR_CLIP ...]`: what checks find of faults in talking clips.

Of each clip, windows of a few seconds are cut at the rates and at most the size that the product renders;
faults of known size are made into them (`check_faults.py`), each is encoded as the product encodes clips,
measured and judged. Nothing is random: the same clips give the same faults.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from driver.paths import ROOT

from .check_costs import cost_rows
from .check_faults import KINDS, selected
from .check_measures import measured, window_of
from .check_scores import Outcome, alarm_rows, fault_rows, goal_rows, offset_rows, unexpected
from .check_windows import Place, Source, places, sources, speaks
from .table import Report, Section

CLIPS = ROOT.parent / "shared" / "clips"
_PROCESSES = 2
_AT_A_TIME = 8
"""Faults of a window that a process makes in a row."""
_QUICK = ("as-it-is", "quiet-ends", "frozen", "black", "seam-position", "clipped")


@dataclass(frozen=True)
class Task:
    """Faults to make of a window.

    Attributes:
        other: the window of another clip, of which voices and faces are taken.
        faults: kinds and sizes.
        keep: the folder in which the clips stay, if any.
    """

    place: Place
    other: Place
    faults: tuple[tuple[str, float], ...]
    keep: Path | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this benchmark."""
    parser.add_argument("clips", nargs="*", type=Path, help="folders of talking clips, or clips with sound")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a window (4)")
    parser.add_argument("--fps", type=int, nargs="+", default=[16, 25], help="frames a second (16 25)")
    parser.add_argument(
        "--fault", nargs="+", default=[], metavar="NAME[=SIZE]", help=f"only these: {', '.join(KINDS)}"
    )
    parser.add_argument("--windows", type=int, default=3, help="at most so many windows of a clip (3)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the clips that are made")
    parser.add_argument(
        "--figures",
        type=Path,
        metavar="FILE",
        help="keep what is measured; what the file holds already is judged again, and not measured again",
    )
    parser.add_argument("--no-costs", action="store_true", help="without speed and memory")


def run(quick: bool, options: argparse.Namespace) -> Report:
    """Makes the faults, measures them, and counts.

    Raises:
        SystemExit: no clips are given and there are none beside the project, or a fault is unknown.
    """
    paths = options.clips or ([CLIPS] if CLIPS.is_dir() else [])
    if not paths:
        raise SystemExit(
            "Give a folder of talking clips with sound: python -m tests.benchmarks checks FOLDER"
        )
    try:
        faults = selected(options.fault or (_QUICK if quick else ()))
        clips, left = sources(paths, options.seconds)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(str(error)) from None
    if len(clips) < 2:
        raise SystemExit("Give two talking clips or more: " + "; ".join([f"{len(clips)} can be used", *left]))
    windows = _windows(clips, options.fps, options.seconds, 1 if quick else options.windows)
    known = _read(options.figures)
    tasks = list(_tasks(windows, faults, known, options.keep))
    outcomes = known + _measured(tasks, options.figures)
    outcomes = [one for one in outcomes if (one.kind, one.size) in faults and one.fps in options.fps]
    return _report(outcomes, left, [] if options.no_costs else cost_rows(quick))


def _windows(clips: list[Source], rates: list[int], seconds: float, most: int) -> list[Place]:
    return [place for fps in rates for clip in clips for place in places(clip, fps, seconds, most)]


def _tasks(
    windows: list[Place], faults: list[tuple[str, float]], known: list[Outcome], keep: Path | None
) -> Iterator[Task]:
    done = {(outcome.window, outcome.kind, outcome.size) for outcome in known}
    for index, place in enumerate(windows):
        # The next clip of the same rate; the first one's for the last.
        order = windows[index:] + windows[:index]
        others = (one for one in order if one.fps == place.fps and one.path != place.path)
        other = next(others, place)
        left = [fault for fault in faults if (place.name, *fault) not in done]
        for start in range(0, len(left), _AT_A_TIME):
            yield Task(place, other, tuple(left[start : start + _AT_A_TIME]), keep)


def _measured(tasks: list[Task], store: Path | None) -> list[Outcome]:
    """The outcomes of all tasks, in both cores' processes; each is written to the store at once."""
    outcomes: list[Outcome] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    count = sum(len(task.faults) for task in tasks)
    with (
        multiprocessing.get_context("spawn").Pool(_PROCESSES) as pool,
        Progress(*columns, console=Console(stderr=True)) as bar,
    ):
        shown = bar.add_task("Clips made and measured", total=count)
        for task, part in zip(tasks, pool.imap(measure_task, tasks), strict=True):
            outcomes += part
            bar.advance(shown, len(task.faults))
            if store:
                with store.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(asdict(outcome)) + "\n" for outcome in part)
    return outcomes


def _read(store: Path | None) -> list[Outcome]:
    if store is None or not store.exists():
        return []
    return [Outcome(**json.loads(line)) for line in store.read_text("utf-8").splitlines()]


def measure_task(task: Task) -> list[Outcome]:
    """Makes and measures the faults of a window; none where nobody speaks in it. Runs in another process."""
    window, other = window_of(task.place), window_of(task.other)
    if not speaks(window) or not speaks(other):
        return []
    outcomes = []
    with TemporaryDirectory() as name:
        for kind, size in task.faults:
            made = KINDS[kind].make(window, other, size)
            folder = task.keep or Path(name)
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{task.place.name.replace(' ', '_')}_{kind}_{size:g}.mp4"
            figures = measured(made, KINDS[kind].part, task.place, path, whole=task.keep is not None)
            stored = figures.model_dump(mode="json")
            outcomes.append(Outcome(task.place.name, task.place.fps, kind, size, made.at, stored))
    return outcomes


def _report(outcomes: list[Outcome], left: list[str], costs: list[Section]) -> Report:
    windows = len({outcome.window for outcome in outcomes})
    sections = [
        Section("Goals", goal_rows(outcomes)),
        Section("False alarms, of clips without a fault", alarm_rows(outcomes)),
        Section("Faults by size", fault_rows(outcomes)),
        Section(
            "Error of the lips' offset, frames: percentiles, and share of the clips", offset_rows(outcomes)
        ),
        Section("Missed, or found where there is nothing", unexpected(outcomes)),
        *costs,
    ]
    notes = [
        f"{windows} windows, {len(outcomes)} clips made: H.264 at CRF 16 and AAC, 832x480 pixels at most.",
        "found: beyond the limit to fail at, or to warn at where there is no other, also as a hint.",
        "95 %: Wilson's interval. Windows of one clip are alike: the true interval is wider.",
        "shift: positive where the sound is late. at its time: of those found, within 0.5 s of the fault.",
        "The offset's error is relative to the shift made; what a clip was out of sync before is part of it.",
    ]
    return Report(
        "What checks find of faults made into talking clips",
        [section for section in sections if section.rows],
        notes + [f"Left out: {reason}." for reason in left],
    )
