"""The properties of this machine that matter to ComfyUI."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from story_studio.ram import GB, read_ram


@dataclass(frozen=True)
class Machine:
    """What ComfyUI's flags depend on.

    Attributes:
        gpu: the name of the first visible accelerator that the installed PyTorch can use; None without one.
        vram_gb: its memory in GiB; 0 if unknown.
        capability: its CUDA compute capability; (0, 0) if it has none or it is unknown.
        ram_gb: the memory in GiB that this process may use: the machine's, or the limit of its container.
        sage, flash: whether the sageattention and flash_attn packages are installed.
        contained: whether `ram_gb` is a container's limit, which ComfyUI does not see before 0.35.
    """

    gpu: str | None
    vram_gb: float
    capability: tuple[int, int]
    ram_gb: float
    sage: bool
    flash: bool
    contained: bool = False


def inspect_machine() -> Machine:
    """This machine. Takes about 10 ms, because it does not import torch, which takes seconds."""
    gpu, vram, capability = _find_gpu()
    ram = read_ram()
    return Machine(
        gpu=gpu,
        vram_gb=round(vram, 1),
        capability=capability,
        ram_gb=round(ram.total * GB / 2**30, 1),
        sage=importlib.util.find_spec("sageattention") is not None,
        flash=importlib.util.find_spec("flash_attn") is not None,
        contained=ram.contained,
    )


def torch_build() -> tuple[str, str] | None:
    """The version of the installed PyTorch and its backend: `cuda`, `hip`, `xpu`, `mps` or `cpu`."""
    spec = importlib.util.find_spec("torch")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        text = (Path(folder) / "version.py").read_text(encoding="utf-8")
        values = dict(re.findall(r"^(__version__|cuda|hip|xpu)\b[^=\n]*= *'([^']+)'", text, re.MULTILINE))
        apple = (platform.system(), platform.machine()) == ("Darwin", "arm64")
        kind = next((kind for kind in ("cuda", "hip", "xpu") if kind in values), "mps" if apple else "cpu")
        return values.get("__version__", "unknown"), kind
    return None


def _find_gpu() -> tuple[str | None, float, tuple[int, int]]:
    build = torch_build()
    kind = build[1] if build else "cpu"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    if kind == "cuda" and visible not in ("", "-1"):
        return _ask_nvidia(visible)
    signs = {"hip": ("AMD GPU", "/dev/kfd"), "xpu": ("Intel GPU", "/dev/dri"), "mps": ("Apple GPU", "/")}
    name, sign = signs.get(kind, (None, ""))
    return (name if Path(sign).exists() else None), 0.0, (0, 0)


def _ask_nvidia(index: str) -> tuple[str | None, float, tuple[int, int]]:
    command = ["nvidia-smi", "-i", index, "--query-gpu=name,memory.total,compute_cap"]
    try:
        result = subprocess.run(
            [*command, "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=20
        )
        name, memory, capability = result.stdout.strip().splitlines()[0].rsplit(",", 2)
        major, minor = capability.strip().split(".")
        return name.strip(), float(memory) / 1024, (int(major), int(minor))
    except (OSError, subprocess.TimeoutExpired, IndexError, ValueError):
        # Some containers have the driver without its tools.
        return ("NVIDIA GPU" if any(Path("/proc/driver/nvidia/gpus").glob("*")) else None), 0.0, (0, 0)
