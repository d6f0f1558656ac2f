"""Time and memory of `story-studio check`, with its start, on two cores."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np

from driver.paths import ROOT

from .check_faults import Made, fitted, write
from .check_windows import Place, cut
from .table import Cell, Section

WIDTH, HEIGHT = 832, 480
_CORES = 2


def cost_rows(place: Place, quick: bool) -> list[Section]:
    """Clips of about 10 s, 1 and 10 min, or of 10 and 20 s, checked by the command as a whole.

    They show a window of a talking clip again and again, as large as a 480p clip of the product.
    """
    rows = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        window = cut(place)
        frames = np.stack([fitted(frame, WIDTH, HEIGHT) for frame in window.frames])
        write(Made(frames, window.audio(), place.fps), folder / "part.mp4")
        for seconds in (10, 20) if quick else (10, 60, 600):
            times = round(seconds / place.seconds)
            repeated(folder / "part.mp4", times, folder / "clip.mp4")
            row = _checked(folder / "clip.mp4", times * place.seconds, folder / "output")
            rows.append({"clip, s": times * place.seconds} | row)
    return [
        Section(f"Cost of `story-studio check`, {WIDTH}x{HEIGHT} at {place.fps} fps, with its start", rows)
    ]


def repeated(source: Path, times: int, target: Path) -> None:
    """Writes a clip a number of times one after the other, its packets copied; the audio without a gap."""
    ends: dict[int, int] = {}
    with av.open(str(source)) as file, av.open(str(target), "w") as output:
        streams = {stream.index: output.add_stream_from_template(stream) for stream in file.streams}
        for _ in range(times):
            file.seek(0)
            starts: dict[int, int] = {}
            for packet in file.demux():
                if packet.dts is None or packet.pts is None:
                    continue
                index = packet.stream_index
                start = starts.setdefault(index, ends.get(index, packet.dts) - packet.dts)
                packet.pts, packet.dts = packet.pts + start, packet.dts + start
                ends[index] = packet.dts + (packet.duration or 0)
                packet.stream = streams[index]
                output.mux(packet)


def _checked(clip: Path, seconds: float, output: Path) -> dict[str, Cell]:
    """Runs the command on two cores, and asks the kernel what it took."""
    command = [sys.executable, "-m", "driver", "check", str(clip), "--json", "--output", str(output)]
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
