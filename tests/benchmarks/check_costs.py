"""Time and memory of `story-studio check`, with its start, on two cores."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np

from driver.paths import ROOT
from story_studio.media.encoder import SAMPLE_RATE

from .check_faults import Made, write
from .table import Cell, Section

WIDTH, HEIGHT, FPS = 832, 480, 16
_PART = 10
"""Seconds that are encoded; longer clips repeat them."""
_CORES = 2


def cost_rows(quick: bool) -> list[Section]:
    """Clips of 10 s and 10 min, or of 10 and 20 s, checked by the command as a whole."""
    rows = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        write(_moving(), folder / "part.mp4")
        for seconds in (10, 20) if quick else (10, 60, 600):
            repeated(folder / "part.mp4", seconds // _PART, folder / "clip.mp4")
            rows.append({"clip, s": seconds} | _checked(folder / "clip.mp4", seconds, folder / "output"))
    return [Section(f"Cost of `story-studio check`, {WIDTH}x{HEIGHT} at {FPS} fps", rows)]


def _moving() -> Made:
    """Frames of which each differs everywhere from the last, and a sound like speech."""
    random = np.random.default_rng(1)
    image = np.kron(random.integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3)), np.ones((8, 8, 1))).astype(
        np.uint8
    )
    frames = np.stack([np.roll(image, (index, 2 * index), (0, 1)) for index in range(_PART * FPS)])
    times = np.arange(_PART * SAMPLE_RATE) / SAMPLE_RATE
    sound = 0.2 * random.standard_normal(len(times)) * np.clip(np.sin(2 * np.pi * 3 * times), 0, 1)
    return Made(frames, sound.astype(np.float32), FPS)


def repeated(source: Path, times: int, target: Path) -> None:
    """Writes a clip a number of times one after the other, its packets copied."""
    with av.open(str(source)) as file, av.open(str(target), "w") as output:
        streams = {stream.index: output.add_stream_from_template(stream) for stream in file.streams}
        length = Fraction(file.duration or 0, av.time_base)
        for number in range(times):
            file.seek(0)
            for packet in file.demux():
                if packet.dts is None:
                    continue
                offset = round(number * length / packet.time_base)
                packet.pts, packet.dts = (packet.pts or 0) + offset, packet.dts + offset
                packet.stream = streams[packet.stream_index]
                output.mux(packet)


def _checked(clip: Path, seconds: float, output: Path) -> dict[str, Cell]:
    """Runs the command on two cores, and asks the kernel what it took."""
    command = [sys.executable, "-m", "driver", "check", str(clip), "--json"]
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:_CORES]),
    )
    _, status, usage = os.wait4(process.pid, 0)
    took = time.monotonic() - began
    cpu = usage.ru_utime + usage.ru_stime
    return {
        "s": took,
        "of playing time": took / seconds,
        "processor, s": cpu,
        "peak memory, MB": usage.ru_maxrss * 1024 / 1e6,
        "exit": os.waitstatus_to_exitcode(status),
    }
