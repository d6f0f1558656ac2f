"""Model files of true size with random weights, for a machine that is measured with real work."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from functools import cache
from math import prod
from pathlib import Path
from struct import pack

import torch

from tests import model_builders as builders
from tests.tiny_models import random_weight
from tests.true_size import FP8, MODELS, Weights, as_bytes, write_weights

_BLOCK = 2**20
"""Numbers that are drawn for a weight; larger weights repeat them, because drawing 45 GB takes minutes."""
_SPREAD = 5
"""The greatest value of a weight in fp8, in standard deviations."""
_ROOM = 4e9


class OutOfTime(Exception):
    """The files were not written in time."""


def make_random_models(folder: Path, files: list[str], deadline: float) -> None:
    """Writes these files, named as in driver/comfy/models.json, in their order.

    Raises:
        RuntimeError: they do not fit on the disk.
        OutOfTime: `time.monotonic()` passed the deadline.
    """
    builders.import_comfy()
    paths = {Path(name).name: folder / name for name in MODELS}
    weights = {file: MODELS[f"{paths[file].parent.name}/{file}"]() for file in files}
    needed = sum(tensor.nbytes for tensors in weights.values() for tensor in tensors.values())
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed + _ROOM:
        raise RuntimeError(
            f"The model files take {needed / 1e9:.0f} GB, and {folder} has {free / 1e9:.0f} GB left: set "
            "TMPDIR to a folder on a larger disk."
        )
    for file, tensors in weights.items():
        paths[file].parent.mkdir(parents=True, exist_ok=True)
        write_weights(paths[file], tensors, RandomContent(file, tensors, deadline))


class RandomContent:
    """Random bytes for each weight of a file, of a scale at which activations neither vanish nor overflow."""

    def __init__(self, file: str, weights: Weights, deadline: float) -> None:
        self._file, self._weights, self._deadline = file, weights, deadline

    def __call__(self, name: str) -> Iterator[bytes | memoryview]:
        if time.monotonic() > self._deadline:
            raise OutOfTime(f"{self._file} was not written in time: set TMPDIR to a folder on a faster disk.")
        tensor = self._weights[name]
        if name.endswith(".alpha"):
            # The LoRA's rank, for a strength of 1.
            yield pack("<f", self._weights[name.replace(".alpha", ".lora_down.weight")].shape[0])
        elif name.endswith(".scale_weight"):
            yield pack("<f", self._scale(name.replace(".scale_weight", ".weight")))
        elif tensor.nbytes:
            block = self._block(name)
            for start in range(0, tensor.nbytes, len(block)):
                yield block[: tensor.nbytes - start]

    def _scale(self, name: str) -> float:
        return _SPREAD / prod(self._weights[name].shape[1:]) ** 0.5 / torch.finfo(FP8).max

    def _block(self, name: str) -> memoryview:
        tensor = self._weights[name]
        rows, *row = tensor.shape or (1,)
        shape = (min(rows, max(2, _BLOCK // prod(row))), *row)
        is_scaled = name.removesuffix("weight") + "scale_weight" in self._weights
        scale = self._scale(name) if is_scaled else 1.0
        # The same layer of other blocks has the same numbers.
        return _draw(self._file, re.sub(r"\d+", "", name), shape, tensor.dtype, scale)


@cache
def _draw(file: str, name: str, shape: tuple[int, ...], dtype: torch.dtype, scale: float) -> memoryview:
    numbers = random_weight(file, name, shape)
    if ".lora_" in name:
        # As in the tiny models: a LoRA changes its model a little.
        numbers *= 0.3
    if dtype == FP8:
        largest = torch.finfo(FP8).max
        numbers = (numbers / scale).clamp(-largest, largest)
    return memoryview(as_bytes(numbers.to(dtype)))
