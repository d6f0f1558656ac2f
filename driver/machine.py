"""This machine, and the flags that ComfyUI gets for it."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_OWN_FLAGS = ("--listen", "--port", "--base-directory", "--output-directory", "--temp-directory")
_EXCLUSIVE = (
    ("--cache-classic", "--cache-lru", "--cache-none", "--cache-ram"),
    ("--cpu", "--gpu-only", "--highvram", "--normalvram", "--lowvram", "--novram"),
    (
        *("--use-pytorch-cross-attention", "--use-split-cross-attention", "--use-quad-cross-attention"),
        *("--use-sage-attention", "--use-flash-attention"),
    ),
)


class ServerError(Exception):
    """ComfyUI cannot be started: a sentence that says what to do, and the end of its log if there is one."""


@dataclass(frozen=True)
class Machine:
    """What ComfyUI's flags depend on.

    Attributes:
        gpu: name of the first visible accelerator that the installed PyTorch can use; None if there is none.
        vram_gb: its memory in GiB; 0 if unknown.
        capability: its CUDA compute capability; (0, 0) if it has none or it is unknown.
        ram_gb: memory in GiB that this process may use: the machine's, or its container's limit.
        sage, flash: whether the sageattention and flash_attn packages are installed.
        contained: whether `ram_gb` is a container's limit, which ComfyUI 0.3.75 does not see.
    """

    gpu: str | None
    vram_gb: float
    capability: tuple[int, int]
    ram_gb: float
    sage: bool
    flash: bool
    contained: bool = False


def inspect_machine() -> Machine:
    """This machine, in some 10 ms: without importing torch, which takes seconds."""
    gpu, vram, capability = _find_gpu()
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _memory_limit()
    return Machine(
        gpu=gpu,
        vram_gb=round(vram, 1),
        capability=capability,
        ram_gb=round(min(physical, limit) / 2**30, 1),
        sage=importlib.util.find_spec("sageattention") is not None,
        flash=importlib.util.find_spec("flash_attn") is not None,
        contained=limit < physical,
    )


def choose_flags(machine: Machine) -> list[str]:
    """ComfyUI's flags for this machine.

    Cache: the default keeps only the nodes of the last prompt, so a server that alternates between stills and
    clips would load every model anew each time. `--cache-lru N` drops whole prompts, oldest first, once more
    than N results are kept, and never a result that the running prompt uses: loaders stay as long as they are
    used. N is 4 a GB of RAM (a still's results are 15 MB in 12 nodes, a clip is a file), between 64 and 512.
    Below 64 GB the weights of both phases (44 GB) and a working set do not fit: there `--cache-ram` gives up
    the largest results once less memory is free than the largest model needs (18 GB, or half of the RAM). It
    measures the machine's memory, not the container's, so in a container it would never act: LRU there too.
    `--cache-none` is no option: with the lazy inputs of our checkpoints it loads a model for every scene.

    Attention: PyTorch's own, and no xformers; on a CPU ComfyUI would take one that holds 0.7 GB of matrices
    for 50 s of sound, where PyTorch's holds none. SageAttention is never chosen: black pictures are reported
    for it with fp8 weights of Wan, which our profiles use. FlashAttention is not either: PyTorch brings the
    same kernel, and ComfyUI's wrapper falls back with a warning at every masked call. Both can be asked for
    with an extra flag.

    Start: api nodes are remote services that a story never uses; their import is a tenth of ComfyUI's start.
    """
    if machine.gpu is None or machine.contained or machine.ram_gb >= 64:
        flags = ["--cache-lru", str(int(min(512, max(64, 4 * machine.ram_gb))))]
    else:
        flags = ["--cache-ram", str(round(min(18, machine.ram_gb / 2), 1))]
    if machine.gpu is None:
        flags.append("--cpu")
    if machine.gpu is None or machine.capability > (0, 0):
        flags.append("--use-pytorch-cross-attention")
    return [*flags, "--disable-xformers", "--disable-api-nodes"]


def merge_flags(chosen: Sequence[str], extra: Sequence[str]) -> list[str]:
    """The chosen flags without those that an extra flag excludes, then the extra flags.

    Raises:
        ServerError: an extra flag is one that the driver sets itself.
    """
    names = {flag.partition("=")[0] for flag in extra if flag.startswith("--")}
    for name in sorted(names):
        # ComfyUI's parser takes abbreviations.
        own = next((flag for flag in _OWN_FLAGS if flag.startswith(name)), None)
        if own:
            raise ServerError(
                f"{name} is not yours to set: the driver sets ComfyUI's {own} itself. Leave it out."
            )
    excluded = {flag for group in _EXCLUSIVE if names & set(group) for flag in group}
    kept: list[str] = []
    keep = True
    for flag in chosen:
        keep = flag not in excluded if flag.startswith("--") else keep
        if keep:
            kept.append(flag)
    return [*kept, *extra]


def torch_build() -> tuple[str, str] | None:
    """The version of the installed PyTorch and what it computes on: `cuda`, `hip`, `xpu`, `mps` or `cpu`."""
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
        asked = subprocess.run(
            [*command, "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=20
        )
        name, memory, capability = asked.stdout.strip().splitlines()[0].rsplit(",", 2)
        major, minor = capability.strip().split(".")
        return name.strip(), float(memory) / 1024, (int(major), int(minor))
    except (OSError, subprocess.TimeoutExpired, IndexError, ValueError):
        # Some containers have the driver and not its tools.
        return ("NVIDIA GPU" if any(Path("/proc/driver/nvidia/gpus").glob("*")) else None), 0.0, (0, 0)


def _memory_limit() -> float:
    limits = [float("inf")]
    root = Path("/sys/fs/cgroup")
    with suppress(OSError):
        own = re.search(r"^0::/(.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
        leaf = root / own[1] if own else root
        folders = [leaf, *leaf.parents]
        for file in [folder / "memory.max" for folder in folders] + [
            root / "memory" / "memory.limit_in_bytes"
        ]:
            with suppress(OSError, ValueError):
                limits.append(float(file.read_text()))
    return min(limits)
