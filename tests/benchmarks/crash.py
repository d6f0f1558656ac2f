"""A story whose server or command is killed at some moment: what is lost, what is rendered twice."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import yaml

from driver.paths import ROOT
from tests.studio import CPU_FLAGS, TINY_PACK, is_comfyui
from tests.tiny_models import make_models
from tests.voices import write_voice

from .table import Cell, Progress, Report, Section

SCENES, TRIALS, SEED = 6, 20, 20_261_122
CHUNKS = {f"scene_{number}": 1 if number < 4 else 2 for number in range(1, SCENES + 1)}
"""Half of the scenes are longer than one chunk of five seconds."""
NOTES = [
    f"Each trial renders {SCENES} scenes (Z-Image and Wan2.2 S2V with tiny weights, 64x64, 2 steps) into an "
    "empty folder, and kills ComfyUI (server) or the command (driver) with SIGKILL at a seeded moment after "
    "the first still. The command resumes by itself, or is run again.",
    "kept: stills and clips that were finished when it was killed. lost: of those, how many were gone or "
    "differed in the end. at work: sampling runs of what was not finished then, which are lost.",
    "twice: sampling runs after the kill beyond those of the stills and chunks that were missing.",
    "film: whether its bytes are those of an undisturbed render on this machine.",
]


def run(quick: bool = False) -> Report:
    """Kills and resumes; ten minutes on two slow cores, `quick` two."""
    trials, progress, dice = 3 if quick else TRIALS, Progress(), random.Random(SEED)
    section = Section("Trials")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        bench = Bench(Path(folder))
        span, film = bench.undisturbed()
        progress(f"undisturbed: {span:.1f} s from the first still on")
        for number in range(1, trials + 1):
            who, moment = "driver" if number % 4 == 0 else "server", dice.uniform(0, span)
            section.rows.append({"trial": number, "killed": who, **bench.trial(who, moment, film)})
            progress(f"trial {number} of {trials}: {section.rows[-1]}")
    sums = {
        name: sum(int(row[name] or 0) for row in section.rows)
        for name in ("kept", "lost", "at work", "twice")
    }
    same = sum(row["film"] == "same" for row in section.rows)
    section.rows.append(
        {"trial": "all", "killed": "", "after s": None, **sums, "film": f"{same} of {trials}"}
    )
    return Report("A six-scene story that is killed", [section], NOTES)


class Bench:
    """The story, and commands that render it."""

    def __init__(self, folder: Path):
        self._workspace, self._output = folder / "workspace", folder / "output"
        self._models, self._story, self._records = folder / "models", folder / "tale.yaml", folder / "samples"
        make_models(self._models)
        (self._workspace / "custom_nodes").mkdir(parents=True)
        (self._workspace / "custom_nodes" / "tiny_pack").symlink_to(TINY_PACK, target_is_directory=True)
        scenes = [
            {
                "id": scene,
                "prompt": f"A room, {scene}",
                "audio": write_voice(folder / f"{scene}.wav", 5.0 * chunks - 1.5, 100 + 9 * number).name,
            }
            for number, (scene, chunks) in enumerate(CHUNKS.items())
        ]
        video = {"sample_steps": 2, "resolution": "64x64"}
        story = {
            "project_id": "tale",
            "scenes": scenes,
            "image_settings": {"steps": 2},
            "video_settings": video,
        }
        self._story.write_text(yaml.safe_dump(story))

    def undisturbed(self) -> tuple[float, bytes]:
        """Seconds from the first still on, and the film."""
        process = self._start()
        began = time.monotonic()
        if process.wait():
            raise RuntimeError(f"The undisturbed render failed: {self._log()}")
        seconds, film = time.monotonic() - began, (self._output / "tale" / "film.mp4").read_bytes()
        shutil.rmtree(self._output)
        return seconds, film

    def trial(self, who: str, moment: float, film: bytes) -> Mapping[str, Cell]:
        """One kill; the output folder is empty before and after."""
        process = self._start()
        time.sleep(moment)
        victim = process.pid if who == "driver" else self._comfyui()
        if process.poll() is not None or victim is None:
            # It was faster than the undisturbed one, because the machine is shared.
            shutil.rmtree(self._output)
            return self.trial(who, moment / 2, film)
        os.kill(victim, signal.SIGKILL)
        while who == "driver" and self._comfyui():
            time.sleep(0.01)
        kept, begun = self._kept(), self._begun()
        status = process.wait()
        if who == "driver":
            status = self._start(first=False).wait()
        if status:
            raise RuntimeError(f"It did not resume: {self._log()}")
        after = self._kept()
        finished = {(path.parent.name, path.name.partition(".")[0].removeprefix("tale_")) for path in kept}
        done = sum(CHUNKS[scene] if kind == "clips" else 1 for kind, scene in finished)
        total = SCENES + sum(CHUNKS.values())
        same = (self._output / "tale" / "film.mp4").read_bytes() == film
        row: dict[str, Cell] = {
            "after s": moment,
            "kept": len(kept),
            "lost": sum(after.get(path) != data for path, data in kept.items()),
            "at work": begun - done,
            "twice": self._begun() - begun - (total - done),
            "film": "same" if same else "other",
        }
        shutil.rmtree(self._output)
        return row

    def _start(self, first: bool = True) -> subprocess.Popen[bytes]:
        """The command, when its first still is finished."""
        environment = {**os.environ, "STORY_STUDIO_TEST_SAMPLES": str(self._records)}
        if first:
            self._records.write_text("")
        arguments = ["--workspace", self._workspace, "--output", self._output, "--models", self._models]
        command = [sys.executable, "-m", "driver", "render", self._story, *arguments, "--", *CPU_FLAGS]
        with (self._workspace / "driver.log").open("wb") as log:
            process = subprocess.Popen(
                list(map(str, command)), cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        while first and not self._kept():
            if process.poll() is not None:
                raise RuntimeError(f"The render ended at its start: {self._log()}")
            time.sleep(0.01)
        return process

    def _log(self) -> str:
        return (self._workspace / "driver.log").read_text()[-2000:]

    def _comfyui(self) -> int | None:
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if str(self._workspace) in words and is_comfyui(words):
                return process.pid
        return None

    def _kept(self) -> dict[Path, bytes]:
        store = self._output / "story_studio"
        paths = [*store.glob("stills/*.png"), *store.glob("clips/*.mp4")]
        return {path: path.read_bytes() for path in paths if path.name[0] != "."}

    def _begun(self) -> int:
        return sum(1 for line in self._records.read_text().splitlines() if json.loads(line))
