"""How long a worker takes from its start to its first job, step by step, against ComfyUI alone."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import requests

from driver.paths import COMFYUI
from tests.benchmarks.table import Cell, Progress, Report, Section
from tests.runpod_platform import Platform
from tests.runpod_worker import kill, worker

_JOB = {"task": "image", "profile": "draft", "prompt": "the first job"}


def run(quick: bool) -> Report:
    """Starts each in turn, several times; the first, whose files are not in memory yet, does not count."""
    progress = Progress()
    rounds: list[dict[str, float]] = []
    for number in range(2 if quick else 6):
        progress(f"round {number}")
        rounds.append({"ComfyUI alone answers": _alone(), **_worker()})
    names = list(rounds[0])
    alone, *steps = (median(durations[name] for durations in rounds[1:]) for name in names)
    rows: list[dict[str, Cell]] = [
        {"step": name, "seconds": round(seconds, 2), "of ComfyUI alone": round(seconds / alone, 2)}
        for name, seconds in zip(names, [alone, *steps], strict=True)
    ]
    notes = [f"Medians of {len(rounds) - 1}; seconds from the start of each process.", "Without models."]
    return Report("A worker's start", [Section("from start to first job", rows)], notes)


def _alone() -> float:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        for name in ("custom_nodes", "input", "output", "temp", "user", "models"):
            Path(folder, name).mkdir()
        flags = ["--cpu", "--listen", "127.0.0.1", "--port", str(port), "--base-directory", folder]
        flags += ["--database-url", "sqlite:///:memory:", "--disable-auto-launch"]
        with _process([sys.executable, str(COMFYUI / "main.py"), *flags]) as began:
            return _when(lambda: _answers(port), began)


def _worker() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, Platform() as platform:
        job = platform.submit({"input": _JOB})
        (Path(folder) / "volume").mkdir()
        began = time.monotonic()
        with worker(platform, Path(folder) / "log", {"MODEL_CACHE_DIR": f"{folder}/volume"}) as process:
            port = 0

            def started() -> bool:
                nonlocal port
                port = _port_of(process.pid)
                return bool(port)

            seconds = {"ComfyUI is started": _when(started, began)}
            seconds["ComfyUI answers"] = _when(lambda: _answers(port), began)
            seconds["the first job is taken"] = _when(lambda: job.status != "IN_QUEUE", began)
            seconds["its result is there (a draft's still)"] = _when(lambda: job.status == "COMPLETED", began)
        return seconds


@contextmanager
def _process(command: list[str]) -> Iterator[float]:
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield began
        finally:
            kill(process)


def _when(condition: Callable[[], Any], began: float) -> float:
    while not condition():
        if time.monotonic() > began + 300:
            raise RuntimeError("It does not start.")
        threading.Event().wait(0.02)
    return time.monotonic() - began


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/system_stats", timeout=5).ok
    except requests.RequestException:
        return False


def _port_of(pid: int) -> int:
    try:
        for child in psutil.Process(pid).children(recursive=True):
            words = child.cmdline()
            if "--port" in words:
                return int(words[words.index("--port") + 1])
    except psutil.NoSuchProcess:
        pass
    return 0
