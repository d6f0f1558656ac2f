"""Model files with the names, keys, shapes and types of the published ones, which take no room on a disk.

`python -m tests.true_size FOLDER` writes them into ComfyUI's model folders below FOLDER, in seconds: a file
is a safetensors header, then a hole of the full length, which reads as zeros. Only what must not be zero is
written: the tokenizer, and the mix of the audio layers, whose sum ComfyUI divides by.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection
from functools import cache, partial
from pathlib import Path
from struct import pack

import torch
from torch import Tensor, nn

from driver.paths import COMFYUI
from tests import model_builders as builders
from tests.model_builders import FP8

# Weights by name: tensors on the meta device become holes, others are written.
Weights = dict[str, Tensor]

LORA_RANK = 64

SAFETENSORS_TYPES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    FP8: "F8_E4M3",
    torch.uint8: "U8",
}


def make_true_size_models(folder: Path, files: Collection[str] | None = None) -> None:
    """Write all model files below `folder`, or those named in `files` as in driver/comfy/models.json."""
    builders.import_comfy()
    for name, build in MODELS.items():
        if files is None or Path(name).name in files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_sparse(path, build())


def write_sparse(path: Path, weights: Weights) -> None:
    """Write a safetensors file in which the weights on the meta device are holes."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    written: dict[int, Tensor] = {}
    end = 0
    # As safetensors itself does: the widest types first, so that each tensor is aligned.
    for name, tensor in sorted(weights.items(), key=lambda item: (-item[1].element_size(), item[0])):
        start, end = end, end + tensor.nbytes
        header[name] = {
            "dtype": SAFETENSORS_TYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        if not tensor.is_meta:
            written[start] = tensor
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(pack("<Q", len(text)) + text)
        data = file.tell()
        file.truncate(data + end)
        for start, tensor in written.items():
            file.seek(data + start)
            file.write(tensor.flatten().view(torch.uint8).numpy().tobytes())


def _holes(dtype: torch.dtype, build: Callable[[], nn.Module]) -> Weights:
    with torch.device("meta"):
        return {name: tensor.to(dtype) for name, tensor in build().state_dict().items()}


def _fp8_holes(build: Callable[[], nn.Module], marker: int) -> Weights:
    """Weights of linear layers in scaled fp8, and all others in bf16."""
    weights = _holes(torch.bfloat16, build)
    with torch.device("meta"):
        for name, _ in builders.linear_layers(build()):
            weights[f"{name}.weight"] = weights[f"{name}.weight"].to(FP8)
            weights[f"{name}.scale_weight"] = torch.empty((), dtype=torch.float32)
        weights["scaled_fp8"] = torch.empty(marker, dtype=FP8)
    return weights


def _z_image() -> Weights:
    return _holes(torch.bfloat16, partial(builders.z_image, dim=3840, layers=30, heads=30, text_width=2560))


def _s2v() -> nn.Module:
    return builders.s2v(dim=5120, ffn_dim=13824, layers=40, audio_dim=1024)


def _s2v_bf16() -> Weights:
    return _with_audio_mix(_holes(torch.bfloat16, _s2v))


def _s2v_fp8() -> Weights:
    return _with_audio_mix(_fp8_holes(_s2v, builders.S2V_MARKER))


def _with_audio_mix(weights: Weights) -> Weights:
    name = "casual_audio_encoder.weights"
    return weights | {name: torch.ones(weights[name].shape, dtype=weights[name].dtype)}


def _umt5() -> Weights:
    config = json.loads((COMFYUI / "comfy/text_encoders/umt5_config_xxl.json").read_text(encoding="utf-8"))
    weights = _fp8_holes(partial(builders.umt5, config), builders.UMT5_MARKER)
    # The published tokenizer has fewer pieces than the embedding has rows.
    return weights | {"spiece_model": builders.as_tensor(_sentencepiece_model(pieces=256300))}


@cache
def _sentencepiece_model(pieces: int) -> bytes:
    """The tokenizer of the tiny models with as many pieces as the published one, nearly all of them useless.

    In the format of protocol buffers, appended pieces are part of the model's list.
    """
    model = builders.sentencepiece_model()
    return model + b"".join(_piece(number) for number in range(builders.sentencepiece_size(model), pieces))


def _piece(number: int) -> bytes:
    text = f"\N{LOWER ONE EIGHTH BLOCK}{number:06}".encode()
    # Field 1 of a piece is its text, field 2 its score; pieces are field 1 of the model.
    piece = b"\x0a" + bytes([len(text)]) + text + b"\x15" + pack("<f", -float(number))
    return b"\x0a" + bytes([len(piece)]) + piece


def _lora() -> Weights:
    weights: Weights = {}
    with torch.device("meta"):
        for layer, matrices in builders.lora_layers(_s2v(), LORA_RANK):
            for part, shape in matrices.items():
                weights[f"{layer}.{part}.weight"] = torch.empty(shape, dtype=torch.float32)
            weights[f"{layer}.alpha"] = torch.empty((), dtype=torch.float32)
    return weights


MODELS: dict[str, Callable[[], Weights]] = {
    f"{name}.safetensors": build
    for name, build in (
        ("diffusion_models/z_image_turbo_bf16", _z_image),
        ("diffusion_models/z_image_bf16", _z_image),
        ("diffusion_models/wan2.2_s2v_14B_bf16", _s2v_bf16),
        ("diffusion_models/wan2.2_s2v_14B_fp8_scaled", _s2v_fp8),
        ("text_encoders/qwen_3_4b", partial(_holes, torch.bfloat16, partial(builders.qwen, {}))),
        ("text_encoders/umt5_xxl_fp8_e4m3fn_scaled", _umt5),
        ("vae/ae", partial(_holes, torch.float32, partial(builders.image_vae, 128))),
        ("vae/wan_2.1_vae", partial(_holes, torch.bfloat16, partial(builders.video_vae, 96))),
        (
            "audio_encoders/wav2vec2_large_english_fp16",
            partial(_holes, torch.float16, partial(builders.wav2vec2, 1024)),
        ),
        (builders.LORA, _lora),
    )
}


if __name__ == "__main__":
    make_true_size_models(Path(sys.argv[1]))
