"""The memory that the weights of a model file take once ComfyUI has read them. Standard library only."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path

from .story.model_files import TEXT_ENCODERS

_LONGEST_HEADER = 100_000_000
"""Bytes; the format allows no more."""
_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2}
_FLAGS = {"fp64": 8, "fp32": 4, "fp16": 2, "bf16": 2, "fp8": 1}
_ON_CPU = {"diffusion_models": ("unet", 4), "vae": ("vae", 4), TEXT_ENCODERS: ("text_enc", 2)}
"""Which flags set the precision of a folder's models, and the bytes of a weight without one."""


def memory_of(path: Path, folder: str, on_cpu: bool, flags: Collection[str] = ()) -> float:
    """The memory of a file's weights in GB (10^9 bytes).

    A GPU computes in the precision of the published files. A CPU does not, and ComfyUI converts the weights
    as it reads them: those of diffusion models and VAEs to 32 bits, those of text encoders to 16, unless a
    flag says otherwise; text encoders in scaled fp8 stay as they are.

    Args:
        path: a model file.
        folder: its folder below `models`.
        on_cpu: whether ComfyUI runs on a CPU.
        flags: ComfyUI's flags, such as `--fp8_e4m3fn-unet`.
    """
    size = path.stat().st_size / 1e9
    if not on_cpu or folder not in _ON_CPU or path.suffix != ".safetensors":
        return size
    kind, width = _ON_CPU[folder]
    for flag in flags:
        name = flag.removeprefix("--").replace("-", "_")
        if name.endswith(f"_{kind}"):
            width = next((bytes_ for start, bytes_ in _FLAGS.items() if name.startswith(start)), width)
    try:
        counts = _counts(_header(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return size
    if kind == "text_enc" and any(dtype not in _BYTES for dtype in counts):
        return size
    return sum(counts.values()) * width / 1e9


def _header(path: Path) -> Mapping[str, Mapping[str, list[int]]]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(path.stat().st_size, _LONGEST_HEADER):
            raise ValueError("The file is not a whole safetensors file.")
        return json.loads(file.read(length))


def _counts(header: Mapping[str, Mapping[str, list[int]]]) -> dict[str, int]:
    """The number of values in a file, by type."""
    counts: dict[str, int] = {}
    for name, entry in header.items():
        if name != "__metadata__":
            dtype = str(entry["dtype"])
            counts[dtype] = counts.get(dtype, 0) + math.prod(entry["shape"])
    return counts
