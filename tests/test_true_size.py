"""The files of true size: they are as large as the published ones, and ComfyUI takes them for those."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from driver.comfy.models import ModelFile, known_models
from driver.paths import ROOT
from tests.true_size import make_true_size_models

S2V = {"model": "WAN22_S2V", "config": "WAN22_S2V", "millions": 16296}
Z_IMAGE = {"model": "Lumina2", "config": "ZImage", "millions": 6155, "scaled": False}
EXPECTED: dict[str, dict[str, Any]] = {
    "z_image_turbo_bf16": Z_IMAGE,
    "z_image_bf16": Z_IMAGE,
    "wan2.2_s2v_14B_bf16": {**S2V, "scaled": False},
    "wan2.2_s2v_14B_fp8_scaled": {**S2V, "scaled": True},
    "qwen_3_4b": {"model": "ZImageTEModel_", "tokenizer": "ZImageTokenizer", "millions": 4022},
    "umt5_xxl_fp8_e4m3fn_scaled": {"model": "WanTEModel", "tokenizer": "WanT5Tokenizer", "millions": 5681},
    "ae": {"model": "AutoencodingEngine", "millions": 84},
    "wan_2.1_vae": {"model": "WanVAE", "millions": 127},
    "wav2vec2_large_english_fp16": {"model": "Wav2Vec2Model", "millions": 315},
    # Ten linear layers in each of 40 blocks.
    "wan2.2_t2v_lightx2v_4steps_lora_v1.1_high_noise": {"model": "WAN22_S2V", "layers": 400},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("true_size")
    make_true_size_models(made)
    return made


@pytest.fixture(scope="module")
def detected(folder: Path) -> dict[str, dict[str, Any]]:
    command = [sys.executable, "-m", "tests.detect_models", str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-4000:]
    return json.loads(result.stdout)


@pytest.mark.parametrize("model", known_models(), ids=lambda model: model.file)
def test_size(folder: Path, model: ModelFile) -> None:
    status = (folder / str(model.folder) / model.file).stat()
    published = str(model.gb)
    assert f"{status.st_size / 1e9:.{len(published.partition('.')[2])}f}" == published
    # On disk: a header, and a tokenizer in one of them.
    assert 512 * status.st_blocks < 8e6


@pytest.mark.parametrize("file", EXPECTED)
def test_detection(detected: dict[str, dict[str, Any]], file: str) -> None:
    assert detected[file] == EXPECTED[file] | {"complaints": []}


def test_some_files(tmp_path: Path) -> None:
    make_true_size_models(tmp_path, ["ae.safetensors", "wan_2.1_vae.safetensors"])
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == [
        "ae.safetensors",
        "wan_2.1_vae.safetensors",
    ]
