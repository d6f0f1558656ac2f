"""Model files: reading them into the file cache once, and whether the memory holds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from driver.comfy.models import ModelFile, fits_in_memory, known_models, warm

SNAPSHOT = "huggingface-cache/hub/models--some--name/snapshots/0f1e/split_files"


@pytest.mark.parametrize("below", ["", "models", SNAPSHOT])
def test_warming_reads_the_files_of_a_profile_that_are_there(tmp_path: Path, below: str) -> None:
    needed = [model for model in known_models() if "turbo" in model.needed_by]
    other = next(model for model in known_models() if "turbo" not in model.needed_by)
    for model in [*needed[:2], other]:
        path = tmp_path / below / str(model.folder) / model.file
        path.parent.mkdir(parents=True, exist_ok=True)
        header = b'{"w":{"dtype":"U8","shape":[1000000],"data_offsets":[0,1000000]}}'
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(10**6))
    count, gigabytes = warm(tmp_path, "turbo")
    assert count == 2
    assert gigabytes == pytest.approx(0.002, rel=1e-3)
    assert warm(tmp_path, "draft") == (0, 0)


def write_sparse(folder: Path, model: ModelFile) -> None:
    """A file of the published size that takes no disk."""
    path = folder / str(model.folder) / model.file
    path.parent.mkdir(parents=True, exist_ok=True)
    size = round((model.gb or 0) * 1e9)
    header = f'{{"w":{{"dtype":"F8_E4M3","shape":[{size}],"data_offsets":[0,{size}]}}}}'.encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with path.open("r+b") as file:
        file.truncate(8 + len(header) + size)


@pytest.mark.parametrize(
    ("gb", "on_cpu", "flags", "fits"),
    [
        (50, False, [], True),
        (47, False, [], False),
        # A CPU computes in 32 bits: the diffusion models take four times their size in 8 bits.
        (100, True, [], False),
        (50, True, ["--fp8_e4m3fn-unet", "--fp8_e4m3fn-text-enc"], True),
    ],
)
def test_memory_for_all_models(tmp_path: Path, gb: float, on_cpu: bool, flags: list[str], fits: bool) -> None:
    for model in known_models():
        # Of the larger profile one file is missing.
        if "standard" in model.needed_by or "bf16" in model.file:
            write_sparse(tmp_path, model)
    assert fits_in_memory(tmp_path, gb, on_cpu, flags) == fits


def test_without_a_whole_profile_nothing_speaks_against_it(tmp_path: Path) -> None:
    write_sparse(tmp_path, known_models()[0])
    assert fits_in_memory(tmp_path, 1, False, [])
