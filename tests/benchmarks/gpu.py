"""What a story's parts take on this machine's GPU, with models of true size, in ten minutes at most.

Without a GPU, or with --quick, everything is done with tiny models and sizes: the figures then mean nothing.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml

from driver.comfy.machine import Machine, inspect_machine
from driver.comfy.models import known_models
from driver.comfy.process import Server, ServerError
from driver.paths import ROOT
from story_studio.story.recipes import load_profile
from tests.studio import CPU_FLAGS, TINY_PACK
from tests.tiny_models import make_models
from tests.voices import write_voice

from .process import Process
from .random_models import make_random_models
from .recipe_runs import Runs
from .table import Cell, Progress, Report, Section
from .video_memory import VideoMemory

NOTES = [
    "Random weights under the names, types and shapes of the published files, just written: they are read as "
    "fast as the page cache allows. A network volume is slower.",
    "Steps are timed in clips of two chunks, {steps} steps each; a profile's chunk is its own number of "
    "steps, and the rest: encoding and decoding. The first chunk has no motion to continue.",
    "load: from submission to the first step, with all models, the prompts, the voice and the image.",
    "VRAM: the most that nvidia-smi reports, for all processes together. RAM: ComfyUI's own, with the pages "
    "of model files that it has read.",
]
ENTRY = "For its entry in driver/runpod/gpus.json (a cold worker's start is not measured here): {entry}"
QUALITY = "its 33 GB more are not written; a chunk is 40 steps of standard's model in 16 bits, and the rest"
SECONDS = 570.0
"""For everything."""
LEAST = 15.0
"""No part begins with less time left."""
BASE_RUNS = 20
"""The still of driver/runpod/gpus.json is one of so many runs of its model, at 832x480."""


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        size: of stills and clips.
        steps: of the clips that are timed.
        flags: for ComfyUI.
        attentions: more kinds of attention by name: ComfyUI's flag, and the package that is missing, if any.
        tiny: whether models are tiny.
    """

    size: tuple[int, int]
    steps: int
    flags: tuple[str, ...]
    attentions: dict[str, tuple[str, str]]
    tiny: bool


def plan_for(machine: Machine, quick: bool) -> Plan:
    """True sizes where there is a GPU."""
    sage = "" if machine.sage else "sageattention"
    flash = "" if machine.flash else "flash_attn"
    attentions = {"sage": ("--use-sage-attention", sage), "flash": ("--use-flash-attention", flash)}
    if machine.gpu and not quick:
        return Plan((832, 480), 4, (), attentions, False)
    flags = () if machine.gpu else CPU_FLAGS
    return Plan((64, 64), 2, flags, {"split": ("--use-split-cross-attention", ""), **attentions}, True)


def run(quick: bool = False) -> Report:
    """Measures everything that fits into ten minutes; a minute or two with tiny models."""
    machine = inspect_machine()
    plan = plan_for(machine, quick)
    name = machine.gpu or "no GPU"
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, VideoMemory() as video_memory:
        bench = Bench(Path(folder), plan, video_memory)
        bench.run()
    notes = [note.format(steps=plan.steps) for note in NOTES]
    notes.append(ENTRY.format(entry=json.dumps({name: {**bench.figures, "source": "measured"}})))
    title = f"{name}, {machine.vram_gb:.0f} GiB, {machine.ram_gb:.0f} GiB of RAM"
    if plan.tiny:
        title += ": a dry run with tiny models, whose figures mean nothing"
    return Report(title, bench.sections, notes)


@dataclass(frozen=True)
class Running:
    """A server that is measured."""

    server: Server
    runs: Runs
    process: Process


Measure = Callable[[Running, float], None]
"""One part, in at most so many seconds."""


class Bench:
    """All parts, each with a limit of seconds; what fails or does not fit is listed as left out.

    Attributes:
        figures: those that were measured, by their names in gpus.json.
    """

    def __init__(self, folder: Path, plan: Plan, video_memory: VideoMemory) -> None:
        self._folder, self._plan, self._video_memory = folder, plan, video_memory
        self._end, self._progress = time.monotonic() + SECONDS, Progress()
        self._parts, self._stills, self._story = Section("Parts"), Section("Stills"), Section("A story")
        width, height = plan.size
        self._clips = Section(f"Clips, {width}x{height}, seconds")
        self._decoding = Section(f"Decoding a chunk, {width}x{height}")
        self.figures: dict[str, float | None] = dict.fromkeys(("load_stills", "load_clips", "still", "clip"))

    @property
    def sections(self) -> list[Section]:
        """The results; `Parts` says what is missing in the others."""
        return [
            section
            for section in (self._stills, self._clips, self._story, self._decoding, self._parts)
            if section.rows
        ]

    def run(self) -> None:
        """Measures one part after the other, the most important first."""
        if not self._attempt("model files", 200, self._make_models):
            return
        clips = [("turbo", "reencode"), ("standard", "reencode"), ("turbo", "latent")]
        self._on_server(
            (),
            [
                ("stills", 90, self._measure_stills),
                ("story", 150, self._measure_story),
                *(
                    (f"{profile}, {mode}", 150, partial(self._measure_clip, profile, mode, "default"))
                    for profile, mode in clips
                ),
            ],
        )
        self._attempt("decoding", 90, self._measure_decoding)
        for name, (flag, missing) in self._plan.attentions.items():
            measure = partial(self._measure_clip, "turbo", "reencode", name)
            if missing:
                self._leave_out(f"attention: {name}", f"the package {missing} is not installed")
            else:
                self._on_server((flag,), [(f"attention: {name}", 90, measure)])
        self._leave_out("quality", QUALITY)

    def _on_server(self, flags: tuple[str, ...], parts: Sequence[tuple[str, float, Measure]]) -> None:
        workspace = self._folder / "workspace"
        (workspace / "custom_nodes").mkdir(parents=True, exist_ok=True)
        tiny_pack = workspace / "custom_nodes" / "tiny_pack"
        if self._plan.tiny and not tiny_pack.exists():
            tiny_pack.symlink_to(TINY_PACK, target_is_directory=True)
        server = Server(
            workspace,
            self._folder / "output",
            models=self._folder / "models",
            extra_flags=(*self._plan.flags, *flags),
            ready_seconds=min(120, max(LEAST, self._left())),
        )
        waiting = [what for what, *_ in parts]
        try:
            with server:
                running = Running(server, Runs(server, self._plan.size), Process(server.port))
                for what, seconds, measure in parts:
                    if not server.alive():
                        raise server.ended()
                    waiting.remove(what)
                    self._attempt(what, seconds, partial(measure, running))
        except ServerError as error:
            for what in waiting:
                self._leave_out(what, f"{error}".partition("\n")[0])

    def _attempt(self, what: str, seconds: float, measure: Callable[[float], None]) -> bool:
        """Whether a part was measured."""
        seconds = min(seconds, self._left())
        if seconds < LEAST:
            self._leave_out(what, "no time was left")
            return False
        self._progress(f"{what}: at most {seconds:.0f} s")
        began = time.monotonic()
        try:
            measure(seconds)
        except subprocess.TimeoutExpired:
            self._leave_out(what, f"it took longer than {seconds:.0f} s")
            return False
        # Whatever is wrong with one part, the others' figures are wanted.
        except Exception as error:
            self._leave_out(what, f"{type(error).__name__}: {error}".partition("\n")[0])
            return False
        self._add_part(what, time.monotonic() - began, "measured")
        return True

    def _leave_out(self, what: str, why: str) -> None:
        self._progress(f"{what} is left out: {why}")
        self._add_part(what, None, f"left out: {why}")

    def _add_part(self, what: str, seconds: float | None, result: str) -> None:
        self._parts.rows.append({"part": what, "took s": seconds, "result": result})

    def _left(self) -> float:
        return self._end - time.monotonic()

    def _make_models(self, seconds: float) -> None:
        models = self._folder / "models"
        if self._plan.tiny:
            make_models(models)
            return
        files = [model.file for model in known_models() if {"turbo", "standard"} & set(model.needed_by)]
        make_random_models(models, files, time.monotonic() + seconds)

    def _measure_stills(self, running: Running, seconds: float) -> None:
        end, steps = time.monotonic() + seconds, load_profile("turbo").still_settings["steps"]
        took = []
        for which in ("first, with loading", "second", "third"):
            self._forget_peaks(running)
            took.append(running.runs.still("turbo", steps, end - time.monotonic()))
            self._stills.rows.append({"still": which, "steps": steps, "s": took[-1], **self._peaks(running)})
        self.figures["still"] = round(took[-1] * BASE_RUNS / steps, 2)
        self.figures["load_stills"] = round(took[0] - took[-1], 2)

    def _measure_clip(
        self, profile: str, continuity: str, attention: str, running: Running, seconds: float
    ) -> None:
        # So that the peak is this profile's own.
        running.runs.free()
        self._forget_peaks(running)
        clip = running.runs.clip(profile, continuity, self._plan.steps, seconds)
        steps = load_profile(profile).clip_settings["steps"]
        rest = clip.chunk - self._plan.steps * clip.step
        row: dict[str, Cell] = {"profile": profile, "continuity": continuity, "attention": attention}
        row |= {"load": clip.load, "first chunk's step": clip.first_step, "step": clip.step, "rest": rest}
        chunk = steps * clip.step + rest
        self._clips.rows.append(row | {"steps": steps, "chunk": chunk} | self._peaks(running))
        if (profile, continuity, attention) == ("standard", "reencode", "default"):
            self.figures["clip"] = round(chunk, 2)

    def _measure_story(self, running: Running, seconds: float) -> None:
        running.runs.free()
        self._forget_peaks(running)
        story = self._write_story()
        command = [sys.executable, "-m", "driver", "render", str(story), "--server", running.server.url]
        command += ["--output", str(running.server.output)]
        with subprocess.Popen(command, cwd=ROOT, stdout=sys.stderr) as render:
            try:
                status = render.wait(seconds)
            except subprocess.TimeoutExpired:
                # The command then cancels its prompt.
                render.send_signal(signal.SIGINT)
                render.wait(30)
                raise
        if status:
            raise RuntimeError(f"the render ended with status {status}: {running.server.log_tail(5)}")
        manifest = json.loads((running.server.output / story.stem / "manifest.json").read_text())
        took, names = manifest["seconds"], {"between": "from the last still to the first step of a clip"}
        self._story.rows += [{"phase": names.get(name, name), "s": took[name]} for name in took]
        self._story.rows += [{"phase": name, "s": value} for name, value in self._peaks(running).items()]
        self.figures["load_clips"] = took.get("between")

    def _write_story(self) -> Path:
        width, height = self._plan.size
        scenes = [
            {
                "id": f"scene_{number}",
                "prompt": f"A lighthouse keeper, {number}",
                "audio": write_voice(self._folder / f"scene_{number}.wav", 4.5, 110.0 + number).name,
            }
            for number in (1, 2)
        ]
        story = {"project_id": "story", "profile": "turbo", "scenes": scenes}
        story["video_settings"] = {"resolution": f"{width}x{height}"}
        path = self._folder / "story.yaml"
        path.write_text(yaml.safe_dump(story), encoding="utf-8")
        return path

    def _measure_decoding(self, seconds: float) -> None:
        vae = self._folder / "models" / "vae" / "wan_2.1_vae.safetensors"
        command = [sys.executable, "-m", "tests.benchmarks.decoding", str(vae), *map(str, self._plan.size)]
        result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=seconds)
        columns = {"at a time": "latents at a time", "seconds": "s", "gb": "VRAM GB"}
        columns |= {"difference": "from the shipped decoder", "error": "error"}
        self._decoding.rows += [
            {title: each.get(name) for name, title in columns.items()} for each in json.loads(result.stdout)
        ]

    def _forget_peaks(self, running: Running) -> None:
        self._video_memory.forget_peak()
        running.process.forget_peak()

    def _peaks(self, running: Running) -> dict[str, Cell]:
        return {"VRAM GB": self._video_memory.peak_gb(), "RAM GB": running.process.peak_mb() / 1000}
