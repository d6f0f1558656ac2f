"""Whether a worker is healthy. `python -m driver.worker.health` is the image's health check.

The worker writes down every few seconds how its ComfyUI is, and the check reads that: it asks neither of them
anything, so it takes no longer while they are busy. It runs every half minute, so it imports next to nothing.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, Protocol

from ..paths import ROOT

State = Literal["running", "starting", "ended"]
_EVERY = 3.0
_STALE = 30.0
"""Seconds since the last report, after which a worker counts as dead: a machine may be very busy."""
_LIMITS: dict[State, float] = {"running": float("inf"), "starting": 300.0, "ended": 60.0}
"""Seconds that ComfyUI may be in a state. A worker restarts a ComfyUI that ended, and takes some for that."""
_WORDS: dict[State, str] = {
    "running": "answers",
    "starting": "is starting",
    "ended": "has ended; the worker restarts it for a job",
}


class Process(Protocol):
    """What is asked of the server (`driver.comfy.process.Server`)."""

    port: int

    def alive(self) -> bool:
        """Whether the process is running."""
        ...


def report_file(work: Path) -> Path:
    """Where a worker reports, in its WORK_DIR."""
    return work / "workspace" / "health.json"


@contextmanager
def reporting(server: Process, file: Path) -> Iterator[None]:
    """Within the block, a thread writes down every few seconds how the server is.

    Args:
        server: ComfyUI, running or about to start.
        file: is replaced each time, and removed in the end.
    """
    end = threading.Event()

    def report() -> None:
        state, since = _state(server), time.monotonic()
        while True:
            with suppress(OSError):
                _write(file, {"time": time.monotonic(), "comfyui": state, "since": since})
            if end.wait(_EVERY):
                return
            if (now := _state(server)) != state:
                state, since = now, time.monotonic()

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        file.unlink(missing_ok=True)


def check(file: Path, now: float) -> tuple[bool, str]:
    """Whether the worker that reports in a file is healthy, and a sentence about it.

    Args:
        file: where it reports.
        now: `time.monotonic()`, which all processes of a machine share.
    """
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        age, state = now - report["time"], report["comfyui"]
        lasted, limit = now - report["since"], _LIMITS[state]
    except (OSError, ValueError, KeyError, TypeError):
        return False, f"The worker does not report in {file}: it has not started yet, or it has ended."
    # One from before the machine was restarted may be in the future.
    if not 0 <= age <= _STALE:
        return False, f"The worker hangs or is dead: its last report in {file} is {age:.0f} s old."
    if lasted > limit:
        what = "ended and was not restarted" if state == "ended" else "does not answer"
        return False, f"ComfyUI {what}, {lasted:.0f} s so far: see server.log and server.log.1 beside {file}."
    return True, f"The worker is running, and its ComfyUI {_WORDS[state]}."


def main() -> int:
    """The exit status, after a sentence: 0 if the worker of this machine is healthy, else 1."""
    healthy, sentence = check(report_file(Path(os.environ.get("WORK_DIR", ROOT))), time.monotonic())
    sys.stdout.write(f"{sentence}\n")
    return int(not healthy)


def _state(server: Process) -> State:
    if not server.alive():
        return "ended"
    try:
        # The kernel accepts for a ComfyUI that is too busy to do it.
        socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
    except ConnectionRefusedError:
        return "starting"
    except OSError:
        pass
    return "running"


def _write(file: Path, report: dict[str, object]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".part")
    aside.write_text(json.dumps(report), encoding="utf-8")
    aside.replace(file)


if __name__ == "__main__":
    sys.exit(main())
