"""The memory of a story with models of true size, by phase, in groups with a limit.

The files are those of `tests/true_size.py`: true names, shapes and types, weights of zero, a few MB of disk.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import yaml
from PIL import Image

from driver.comfy.client import Comfy
from driver.comfy.process import Server
from driver.paths import ROOT
from story_studio.story.graph import Graph
from story_studio.story.recipes import load_profile
from tests.studio import is_comfyui
from tests.true_size import make_true_size_models
from tests.voices import write_voice

from . import talking_video
from .loads import finish
from .table import Progress, Report, Section

SIZE, SCENES = 64, 2
FLAGS = ("--cpu", "--fp8_e4m3fn-unet")
LIMITS = (22.0, 20.0)
NOTES = [
    f"A story of {SCENES} scenes, profile standard, {SIZE}x{SIZE}, 1 step, {' '.join(FLAGS)}. GB are 10^9 "
    "bytes.",
    "Peak: the most memory that all processes of the group hold, without cached files, which the kernel "
    "drops when it must.",
    "stock: the same models in two prompts of stock nodes, a still and a clip, with the classic cache.",
    "Representative: the size of the files, the order of reads and frees, and what a phase holds, since a "
    "GPU keeps these weights in fp8, too. Not representative: on a CPU nothing moves to GPU memory; the flag "
    "halves Z-Image, which a GPU keeps in 16 bits; the frames are tiny.",
    "Limits are control groups where these can be made. Elsewhere a watcher kills a server above its limit.",
]


@dataclass
class Outcome:
    """What happened within a group.

    Attributes:
        survived: whether the work was finished.
        peaks: the most memory in GB, by phase.
        plan: what the server said about memory.
        deaths: how often a server was killed.
    """

    survived: bool = False
    peaks: dict[str, float] = field(default_factory=dict)
    plan: str = ""
    deaths: int = 0


def run(quick: bool = False) -> Report:
    """Measures a quarter of an hour for each limit and way; `quick` one of them."""
    section, progress = Section("Peak by phase, in GB"), Progress()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        make_true_size_models(models := folder / "models")
        for limit in LIMITS[1:2] if quick else LIMITS:
            for way in ("story",) if quick else ("story", "stock"):
                progress(f"{way} in {limit:g} GB")
                outcome = measure(way, limit, folder / f"{way}_{limit:g}", models)
                section.rows.append(
                    {
                        "limit": limit,
                        "": way,
                        "survived": "yes" if outcome.survived else "no",
                        "killed": outcome.deaths,
                        **{phase: round(outcome.peaks.get(phase, 0.0), 1) for phase in ("stills", "clips")},
                        "plan": outcome.plan,
                    }
                )
    return Report("What memory does a story need?", [section], NOTES)


def measure(way: str, limit_gb: float, folder: Path, models: Path) -> Outcome:
    """Renders in a group of this size: `story` with the driver, `stock` with two prompts of stock nodes."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", __name__, str(folder), str(models)]
    if way == "story":
        write_story(folder)
        where = [
            "--models",
            str(models),
            "--output",
            str(folder / "output"),
            "--workspace",
            str(folder / "work"),
        ]
        command = [sys.executable, "-m", "driver", "render", str(folder / "story.yaml"), *where, "--", *FLAGS]
    outcome = Outcome()
    with limited(command, limit_gb) as group:
        for line in group.lines():
            if found := re.match(r"\s*(stills|clips|film)\b", line):
                group.phase = found[1]
            outcome.deaths += "was killed because memory ran out" in line
            outcome.plan = line.removeprefix("Memory: ").strip() if "Memory: " in line else outcome.plan
        outcome.survived = group.process.wait() == 0
        outcome.peaks = group.peaks
    outcome.deaths += way == "stock" and not outcome.survived
    return outcome


def write_story(folder: Path) -> None:
    """A story of tiny frames, with its recordings."""
    for number in range(SCENES):
        write_voice(folder / f"voice_{number}.wav", 0.4 + number / 10)
    story = {
        "project_id": "memory",
        "profile": "standard",
        "image_settings": {"steps": 1, "width": SIZE, "height": SIZE},
        "video_settings": {"resolution": f"{SIZE}x{SIZE}", "sample_steps": 1, "cfg": 1},
        "scenes": [
            {"id": f"s{number}", "prompt": f"Scene {number}", "audio": f"voice_{number}.wav"}
            for number in range(SCENES)
        ],
    }
    (folder / "story.yaml").write_text(yaml.safe_dump(story), encoding="utf-8")


def render_stock(folder: Path, models: Path) -> None:
    """Two prompts of stock nodes on a server as ComfyUI starts it: stills, then a clip."""
    (folder / "input").mkdir()
    write_voice(folder / "input" / "voice.wav", 0.4)
    Image.new("RGB", (SIZE, SIZE), (90, 60, 30)).save(folder / "input" / "face.png")
    still = {
        node_id: {"class_type": node["class_type"], "inputs": dict(node["inputs"])}
        for node_id, node in load_profile("standard").still.nodes.items()
    }
    for node in still.values():
        sizes = {"width": SIZE, "height": SIZE, "steps": 1}
        node["inputs"] |= {name: value for name, value in sizes.items() if name in node["inputs"]}
    clip = talking_video.common("voice.wav")
    talking_video.add_chain(clip, SIZE, 1, 1, 0)
    # ComfyUI's default cache, whatever the driver would choose.
    with Server(folder, folder / "output", models=models, extra_flags=(*FLAGS, "--cache-classic")) as server:
        comfy = Comfy(server.url, server.alive)
        for phase, graph in (("stills", still), ("clips", clip)):
            print(phase, flush=True)
            finish(comfy, Graph(graph))


class Group:
    """A command with all its processes, and the most memory that they held in each phase."""

    def __init__(self, process: subprocess.Popen[str], limit_gb: float, folder: Path | None) -> None:
        """`folder` is that of its control group; without one, this object enforces the limit."""
        self.process, self.phase, self.peaks = process, "start", dict[str, float]()
        self._limit, self._folder = limit_gb, folder
        threading.Thread(target=self._watch, daemon=True).start()

    def lines(self) -> Iterator[str]:
        """What the command prints."""
        output: IO[str] | None = self.process.stdout
        for line in output or ():
            print(line, end="", file=sys.stderr, flush=True)
            yield line

    def _watch(self) -> None:
        while self.process.poll() is None:
            held = _held_in(self._folder) if self._folder else _held_below(self.process.pid)
            self.peaks[self.phase] = max(self.peaks.get(self.phase, 0.0), held)
            if not self._folder and held > self._limit:
                _kill_comfyui_below(self.process.pid)
            time.sleep(0.1)


@contextmanager
def limited(command: list[str], limit_gb: float) -> Iterator[Group]:
    """Runs a command whose processes together may hold so many GB."""
    folder = _make_group(limit_gb)

    def enter() -> None:
        if folder:
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'custom_nodes'}:{ROOT}"}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=enter,
    )
    try:
        yield Group(process, limit_gb, folder)
    finally:
        process.terminate()
        process.wait()
        if folder:
            time.sleep(1)
            with suppress(OSError):
                folder.rmdir()


def _make_group(limit_gb: float) -> Path | None:
    """The folder of a new control group with this limit; None where it cannot be made."""
    root = Path("/sys/fs/cgroup")
    for parent, file in ((root, "memory.max"), (root / "memory", "memory.limit_in_bytes")):
        folder = parent / f"story-studio-{os.getpid()}-{time.monotonic_ns()}"
        try:
            folder.mkdir()
            # Opened for update: where the kernel has another version of the API, there is no such file.
            with (folder / file).open("r+") as limit:
                limit.write(str(int(limit_gb * 1e9)))
            return folder
        except OSError:
            with suppress(OSError):
                folder.rmdir()
    return None


def _held_in(folder: Path) -> float:
    with suppress(OSError):
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(stat.get("total_rss") or stat.get("anon") or 0) / 1e9
    return 0.0


def _held_below(process: int) -> float:
    held = 0
    for child in _tree(process):
        with suppress(OSError, IndexError):
            fields = Path(f"/proc/{child}/statm").read_text().split()
            held += (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")
    return held / 1e9


def _kill_comfyui_below(process: int) -> None:
    for child in _tree(process):
        with suppress(OSError):
            words = Path(f"/proc/{child}/cmdline").read_bytes().decode(errors="replace").split("\0")
            if is_comfyui(words):
                os.kill(child, 9)


def _tree(process: int) -> Iterator[int]:
    yield process
    with suppress(OSError):
        for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            yield from _tree(int(child))


if __name__ == "__main__":
    render_stock(Path(sys.argv[1]), Path(sys.argv[2]))
