"""The memory that weights take: as in the file on a GPU, in ComfyUI's precision on a CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from story_studio.weights import memory_of

COUNT = 1_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A million weights in 16 bits."""
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(1000, COUNT // 1000, dtype=torch.bfloat16)}, path)
    return path


def test_on_a_gpu_as_in_the_file(file: Path) -> None:
    for folder in ("diffusion_models", "vae", "text_encoders", "loras"):
        assert memory_of(file, folder, on_cpu=False) == file.stat().st_size / 1e9


@pytest.mark.parametrize(
    ("folder", "flags", "width"),
    [
        ("diffusion_models", [], 4),
        ("diffusion_models", ["--fp8_e4m3fn-unet"], 1),
        ("diffusion_models", ["--bf16_unet"], 2),
        ("diffusion_models", ["--bf16-vae", "--fp8_e5m2-text-enc", "--cpu"], 4),
        ("text_encoders", [], 2),
        ("text_encoders", ["--fp32-text-enc"], 4),
        ("vae", [], 4),
        ("vae", ["--bf16-vae"], 2),
    ],
)
def test_on_a_cpu_in_the_precision_of_the_flags(
    file: Path, folder: str, flags: list[str], width: int
) -> None:
    assert memory_of(file, folder, True, flags) == COUNT * width / 1e9


def test_a_scaled_text_encoder_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(COUNT, dtype=torch.float8_e4m3fn), "scale": torch.ones(1)}, path)
    assert memory_of(path, "text_encoders", True) == path.stat().st_size / 1e9
    assert memory_of(path, "diffusion_models", True) == (COUNT + 1) * 4 / 1e9


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 8, b"\x02" + b"\0" * 7 + b"[]", b"\x02" + b"\0" * 7 + b"{"]
)
def test_a_damaged_file_counts_as_its_size(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert memory_of(path, "diffusion_models", True) == len(content) / 1e9
