"""What this machine can render, and what to do about the rest."""

from __future__ import annotations

import argparse
import importlib.util
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TextIO

from rich.console import Console
from rich.text import Text

from story_studio.checks.faces import missing_models
from story_studio.core import contracts
from story_studio.ram import read_ram
from story_studio.story.graph import Files, Plan
from story_studio.story.recipes import load_profile, profile_names
from story_studio.story.schema import parse

from ..comfy.machine import Machine, inspect_machine, torch_build
from ..comfy.model_roots import places
from ..comfy.models import ModelFile, known_models, locate
from ..comfy.process import PACK
from ..paths import COMFYUI, PACKAGES, SET_UP
from ..rendering.memory import memory_plan
from ..version import version
from ..voices.catalog import INSTALL
from ..voices.engines import voices
from .arguments import add_output, add_server, models_folder

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
_SETUP = f"{SET_UP[0].upper()}{SET_UP[1:]}."


class Check(NamedTuple):
    """A finding: `fail` if not even the draft profile can run, `warn` if another cannot, or only slowly.

    `todo` is empty or says what to do, in one or more lines.
    """

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    todo: str = ""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `doctor`."""
    add_output(command)
    add_server(command)


def run(options: argparse.Namespace) -> int:
    """Prints the report; the exit status is 1 if not even the draft profile can run."""
    checks = report(models_folder(options), options.output, options.workspace)
    show(checks)
    return int(failed(checks))


def report(models: Path, output: Path, workspace: Path) -> list[Check]:
    """What is installed, this machine, and the model files below `models`; nothing is started or fetched."""
    machine = inspect_machine()
    return [
        *_software(),
        _gpu(machine),
        *_memory(machine, models, workspace),
        _attention(machine),
        _voices(models),
        _face_models(),
        *_disks(models, output),
        *_profiles(models),
        *(_file(models, model) for model in known_models()),
    ]


def failed(checks: Sequence[Check]) -> bool:
    """Whether not even the draft profile can run."""
    return any(check.state == "fail" for check in checks)


def text(checks: Sequence[Check]) -> str:
    """The report in plain lines."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{check.state:<5}{check.name:<{width}}  {check.found}")
        lines += [f"{'':<{width + 7}}{line}" for line in check.todo.splitlines()]
    return "\n".join(lines)


def show(checks: Sequence[Check], stream: TextIO | None = None) -> None:
    """Writes the report, in colours if `stream` (standard output) is a terminal."""
    coloured = Text(text(checks))
    for state, colour in _COLOURS.items():
        coloured.highlight_regex(rf"(?m)^{state}\b", f"bold {colour}")
    # Addresses are to be copied, so no line is broken.
    Console(file=stream, highlight=False).print(coloured, soft_wrap=True)


def _software() -> list[Check]:
    build = torch_build()
    torch = Check("PyTorch", "ok", f"{build[0]} ({build[1]})") if build else None
    return [
        Check("Python", "ok", platform.python_version()),
        torch or Check("PyTorch", "fail", "not installed", f"{PACKAGES[0].upper()}{PACKAGES[1:]}."),
        _comfyui(),
        _node_pack(),
        _ffmpeg(),
    ]


def _voices(models: Path) -> Check:
    here = voices(models / "piper")
    if here:
        return Check("voices", "ok", ", ".join(f"{voice.name} ({voice.language})" for voice in here))
    todo = f"Scenes with a `text` and no recording need one: {INSTALL}; or name a voice recipe in the story."
    return Check("voices", "warn", "none", todo)


def _face_models() -> Check:
    missing = missing_models()
    if missing is None:
        return Check("face models", "ok", "installed")
    found = "not installed, so checks measure neither faces nor lips"
    return Check("face models", "warn", found, f"{missing.rstrip('.')}\nor run ./install.sh.")


def _comfyui() -> Check:
    if not (COMFYUI / "main.py").is_file():
        return Check("ComfyUI", "fail", f"not in {COMFYUI}", _SETUP)
    version = contracts.version(COMFYUI)
    broken = contracts.broken(COMFYUI)
    if not broken:
        tested = "" if version in contracts.RUN_ON else f" (tested on {', '.join(contracts.RUN_ON)})"
        return Check("ComfyUI", "ok", f"{version}, has all that the node pack uses of it{tested}")
    todo = [sentence for _, sentence in broken]
    todo.append(
        f"Update Story Studio, or use a ComfyUI that it was tested on: {', '.join(contracts.RUN_ON)}."
    )
    state = "fail" if any(contract.drafts for contract, _ in broken) else "warn"
    return Check("ComfyUI", state, f"{version}, not compatible with the node pack", "\n".join(todo))


def _node_pack() -> Check:
    if not (PACK / "__init__.py").is_file():
        return Check("node pack", "fail", f"not in {PACK}", _SETUP)
    return Check("node pack", "ok", version())


def _ffmpeg() -> Check:
    try:
        import imageio_ffmpeg

        program = imageio_ffmpeg.get_ffmpeg_exe()
        answer = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=20, check=True)
        return Check("ffmpeg", "ok", answer.stdout.partition(" Copyright")[0])
    except (ImportError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        return Check("ffmpeg", "fail", f"does not run: {error}", "Install the package imageio-ffmpeg.")


def _gpu(machine: Machine) -> Check:
    if machine.gpu:
        memory = f", {machine.vram_gb:.0f} GB" if machine.vram_gb else ""
        capability = ".".join(map(str, machine.capability)) if any(machine.capability) else "unknown"
        return Check("GPU", "ok", f"{machine.gpu}{memory}, compute capability {capability}")
    build = torch_build()
    found = "none: the installed PyTorch cannot use one" if build and build[1] == "cpu" else "none"
    return Check("GPU", "warn", found, "Only the draft profile renders in reasonable time.")


def _memory(machine: Machine, models: Path, workspace: Path) -> Iterator[Check]:
    """The memory, and how the models of each profile would share it."""
    memory = read_ram()
    limit = ", the limit of this container" if memory.contained else ""
    yield Check("memory", "ok", f"{memory.total:.0f} GB{limit}, {memory.free:.0f} GB free")
    for name in profile_names():
        scene = {"id": "scene", "prompt": "a scene", "audio": "voice.wav"}
        story = parse({"project_id": "story", "profile": name, "scenes": [scene]})
        plan = memory_plan(
            [Plan(story, load_profile(name), {"scene": Files("voice.wav", None)})],
            (),
            machine,
            models,
            workspace,
        )
        if any(name in model.needed_by for model in known_models()):
            state = "ok" if plan.fits else "warn"
            yield Check(f"memory for {name}", state, plan.need, ",\n".join(plan.strategy))


def _attention(machine: Machine) -> Check:
    there = {"sageattention": machine.sage, "flash_attn": machine.flash}
    unused = [f"{name} is installed, used only with its flag" for name, known in there.items() if known]
    unused += ["xformers is switched off"] if importlib.util.find_spec("xformers") else []
    return Check("attention", "ok", "; ".join(["PyTorch's own", *unused]))


def _disks(models: Path, output: Path) -> list[Check]:
    needed = sum(model.gb or 0 for model in known_models() if not locate(models, model))
    return [
        _disk("models", models, needed, f"The missing model files of all profiles need {needed:.0f} GB."),
        _disk("results", output, 2, "A story needs some GB for its stills, clips and film."),
    ]


def _disk(name: str, folder: Path, needed_gb: float, todo: str) -> Check:
    there = next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())
    free = shutil.disk_usage(there).free / 1e9
    enough = free > needed_gb
    found = f"{free:.0f} GB free for {folder}"
    return Check(f"{name} disk", "ok" if enough else "warn", found, "" if enough else todo)


def _profiles(models: Path) -> list[Check]:
    checks = []
    for profile in profile_names():
        needed = [model for model in known_models() if profile in model.needed_by]
        lacking = [model for model in needed if not locate(models, model)]
        if lacking:
            size = sum(model.gb or 0 for model in lacking)
            found = f"{len(lacking)} of {len(needed)} model files missing, {size:.1f} GB"
        else:
            found = f"all {len(needed)} model files are there" if needed else "needs no model files"
        checks.append(Check(f"profile {profile}", "warn" if lacking else "ok", found))
    return checks


def _file(models: Path, model: ModelFile) -> Check:
    about = f"{model.folder}/{model.file}, {model.gb:.3g} GB"
    if path := locate(models, model):
        return Check("model file", "ok", f"{about}, in {path.parent}")
    broken = next(places(models, model.folder or "", model.file), None)
    target = broken or models / (model.folder or "") / model.file
    state = "broken off" if broken else "missing"
    todo = f"Download {model.url}\nto {target}"
    return Check("model file", "warn", f"{about}, {state}, for {', '.join(model.needed_by)}", todo)
