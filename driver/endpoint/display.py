"""What a person sees of the endpoint's jobs: a line for each in a terminal, or else the log."""

from __future__ import annotations

import time
from typing import Any

from rich.progress import Progress, TaskID, TextColumn

from ..terminal import console, duration, say
from ..worker import log
from .jobs import Job

_QUIET_SECONDS = 10.0
"""The log's longest silence about a job that is being done."""
_COLOURS = {"COMPLETED": "green", "FAILED": "red", "TIMED_OUT": "red", "CANCELLED": "yellow"}


class Display:
    """Shows jobs. As a context manager it draws in the terminal within its block."""

    def __init__(self) -> None:
        columns = [TextColumn("{task.description}"), TextColumn("{task.fields[now]}", style="dim")]
        self._lines = Progress(*columns, console=console) if console.is_terminal else None
        self._tasks: dict[str, TaskID] = {}
        self._logged: dict[str, tuple[str, float]] = {}

    def __enter__(self) -> Display:
        if self._lines:
            self._lines.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._lines:
            self._lines.stop()

    def on_change(self, job: Job) -> None:
        """Shows a job's new state."""
        if self._lines:
            self._draw(job, self._lines)
        else:
            self._write(job)

    def _draw(self, job: Job, lines: Progress) -> None:
        name = f"{job.task:>8} {job.id}"
        if job.id not in self._tasks:
            self._tasks[job.id] = lines.add_task(name, total=None, now="")
        task = self._tasks[job.id]
        if job.final:
            lines.remove_task(task)
            del self._tasks[job.id]
            # Or the line is printed once more with the next text.
            lines.refresh()
            say(f"{name}  {_end(job)}", _COLOURS[job.status])
        else:
            lines.update(task, now=_now(job))

    def _write(self, job: Job) -> None:
        if job.final:
            self._logged.pop(job.id, None)
            log.event("ended", f"{job.task}: {_end(job)}", job.id, task=job.task, status=job.status)
            return
        phase, now = _phase(job), time.monotonic()
        last = self._logged.get(job.id, ("", 0.0))
        if phase != last[0] or now - last[1] > _QUIET_SECONDS:
            self._logged[job.id] = phase, now
            log.event("endpoint", f"{job.task}: {_now(job)}", job.id, task=job.task, status=job.status)


def _message(job: Job) -> dict[str, Any]:
    return job.progress if isinstance(job.progress, dict) else {}


def _phase(job: Job) -> str:
    if job.status == "IN_QUEUE":
        return "in the queue"
    return str(_message(job).get("phase") or "begun")


def _now(job: Job) -> str:
    message = _message(job)
    parts = [_phase(job), str(message.get("scene") or "")]
    if percent := message.get("percent"):
        parts.append(f"{percent:.0f} %")
    if left := message.get("seconds_left"):
        parts.append(f"{duration(left)} left")
    return ", ".join(filter(None, parts))


def _end(job: Job) -> str:
    took = f" in {duration(job.ended - job.started)}" if job.started else ""
    reason = f": {_plain(job.result.get('error', ''))}" if job.status == "FAILED" else ""
    return f"{job.status.lower()}{took}{reason}"


def _plain(text: Any) -> str:
    """In one line, without a client's control characters, which a terminal would obey."""
    shown = "".join(char if char.isprintable() else " " for char in str(text)[:300])
    return " ".join(shown.split())
