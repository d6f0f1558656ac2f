"""The shipped handler as a worker of a platform on loopback."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from driver.paths import ROOT
from tests.runpod_platform import Platform


@contextlib.contextmanager
def worker(
    platform: Platform, log: Path, extra: dict[str, str] | None = None, worker_id: str = "worker-1"
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the shipped handler as a worker of the platform, and kills it with all its child processes.

    Args:
        platform: whose jobs it takes.
        log: a new file for its output.
        extra: variables of its environment besides the platform's.
        worker_id: its name on the platform; each worker of an endpoint has its own.
    """
    # A disk of its own: another worker is another machine.
    own = {"WORK_DIR": str(log.with_name(f"{worker_id}.disk")), "STORY_STUDIO_CPU": "1"}
    environment = {**os.environ, **platform.worker_environment(worker_id), **own, **(extra or {})}
    command = [sys.executable, "runpod_handler.py"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file)
        try:
            yield process
        finally:
            kill(process)
            platform.workers.discard(worker_id)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a process and all its children, as when a machine vanishes."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid)
        everyone = [*family.children(recursive=True), family]
        for member in everyone:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(everyone, timeout=10)
    process.wait(10)
