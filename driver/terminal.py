"""What a person sees of a command: messages, an exit status, and bars in a terminal or else plain lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from story_studio.story.graph import Phase

from .rendering.progress import CHECK, STAGES, OnProgress, Stage, Status

_QUIET_SECONDS = 10.0
"""Longest silence of the plain lines while something is being made."""

_BRIEF_SECONDS = 2.0
"""What is done sooner shows no bar."""

OK, FAILED, PARTIAL, INTERRUPTED = 0, 1, 3, 130
"""Exit statuses of commands."""

console = Console(stderr=True, highlight=False)


def say(text: str, style: str = "") -> None:
    """Writes a sentence to standard error, in a colour or another style of Rich."""
    console.print(text, style=style, markup=False, soft_wrap=True)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Shows that something without steps is going on."""
    began = time.monotonic()
    if console.is_terminal:
        with console.status(what):
            yield
    else:
        console.print(f"{what} ...")
        yield
    console.print(f"{what}: {time.monotonic() - began:.1f} s", style="dim")


@contextmanager
def progress(totals: dict[Phase, int]) -> Iterator[OnProgress]:
    """A function that shows a render's status; `totals` counts the stills, clips and films to come."""
    if not console.is_terminal:
        yield _plain()
        return
    columns = [
        TextColumn("{task.description:>6}"),
        BarColumn(bar_width=36),
        TextColumn("{task.fields[count]:>7}"),
        TextColumn("{task.fields[now]}", style="dim"),
    ]
    bars, tasks = Progress(*columns, console=console), dict[Stage, Any]()

    def add(stage: Stage, total: int) -> None:
        tasks[stage] = bars.add_task(STAGES[stage], total=max(total, 1), count=f"0/{total}", now="")

    try:

        def show(status: Status) -> None:
            # Messages and errors before the first step are not shown between empty bars.
            if not tasks:
                for phase, total in totals.items():
                    add(phase, total)
                bars.start()
            if status.phase not in tasks:
                add(status.phase, status.total)
            for stage, task in tasks.items():
                if stage != status.phase:
                    bars.update(task, now="")
            bars.update(
                tasks[status.phase],
                total=max(status.total, 1),
                completed=status.done + (status.fraction if status.fraction < 1 else 0),
                count=f"{status.done}/{status.total}",
                now=_now(status),
            )

        yield show
    finally:
        bars.stop()


def _plain() -> OnProgress:
    last: list[Any] = [None, 0.0, ""]

    def show(status: Status) -> None:
        state = (status.phase, status.done)
        now = time.monotonic()
        # Why a clip is made again is news; that it is checked takes a moment.
        again = status.activity if status.activity not in ("", CHECK) else last[2]
        if state != last[0] or again != last[2] or now - last[1] > _QUIET_SECONDS:
            last[:] = state, now, again
            console.print(
                f"{STAGES[status.phase]:>6} {status.done}/{status.total}  {status.percent:3.0f} %  "
                f"{_now(status)}",
                soft_wrap=True,
            )

    return show


def _now(status: Status) -> str:
    parts = [part for part in (status.scene, status.activity) if part]
    if status.step:
        parts.append("step {}/{}".format(*status.step))
    if status.seconds_left is not None and status.seconds_left >= 1:
        parts.append(f"{duration(status.seconds_left)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as people say them: 48 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@contextmanager
def working(what: str) -> Iterator[Callable[[str, float], None]]:
    """A function that shows a step and the fraction done of all, if that takes longer than two seconds."""
    began, last = time.monotonic(), 0.0
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=36),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[now]}", style="dim"),
        console=console,
    )
    task = bar.add_task(what, total=1.0, now="")

    def show(now: str, fraction: float) -> None:
        nonlocal last
        moment = time.monotonic()
        if console.is_terminal:
            if moment - began > _BRIEF_SECONDS:
                bar.start()
            bar.update(task, completed=fraction, now=now)
        elif moment - max(last, began) > _QUIET_SECONDS:
            last = moment
            console.print(f"{what} {100 * fraction:3.0f} %  {now}")

    try:
        yield show
    finally:
        # One that has not started would leave an empty line.
        if bar.live.is_started:
            bar.stop()
