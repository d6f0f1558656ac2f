"""ComfyUI's own loaders, given models of true size without their weights: what does it take them for?

`python -m tests.detect_models FOLDER` prints one JSON object: for each file of FOLDER what was loaded. The
weights are on PyTorch's meta device, so this takes no more memory than ComfyUI alone. It needs a process of
its own, because the tests with tiny models change what the loaders take for granted.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from struct import unpack
from typing import Any

import torch
from torch import Tensor

import tests.comfy_process  # noqa: F401 -- it hides the GPU before anything imports ComfyUI
from tests.true_size import SAFETENSORS_TYPES

# isort: split
import comfy.audio_encoders.audio_encoders
import comfy.model_management
import comfy.sd
import comfy.utils

META = torch.device("meta")
Weights = dict[str, Tensor]
TYPES = {name: dtype for dtype, name in SAFETENSORS_TYPES.items()}


def main(folder: Path) -> dict[str, dict[str, Any]]:
    """What ComfyUI makes of each file: classes, millions of parameters, and complaints about its keys."""
    for name in ("unet_offload_device", "text_encoder_offload_device", "text_encoder_initial_device"):
        setattr(comfy.model_management, name, lambda *_: META)
    for name in ("vae_device", "vae_offload_device"):
        setattr(comfy.model_management, name, lambda: META)
    complaints = Complaints()
    logging.getLogger().addHandler(complaints)
    found = {}
    for path in sorted(folder.glob("*/*.safetensors")):
        complaints.lines.clear()
        found[path.stem] = {**LOADERS[path.parent.name](path), "complaints": list(complaints.lines)}
    return found


class Complaints(logging.Handler):
    """Keeps what ComfyUI's log says about keys that a model lacks or does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if re.search("missing|unexpected|leftover|not loaded", line := record.getMessage(), re.IGNORECASE):
            self.lines.append(line)


def read_weights(path: Path) -> tuple[Weights, dict[str, str] | None]:
    """Weights on the meta device, and the metadata; tokenizers, and the scalars of a LoRA, are read.

    Not with safetensors, which maps the whole file: the kernel refuses that for one larger than the memory.
    """
    weights: Weights = {}
    with path.open("rb") as file:
        (size,) = unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        metadata = header.pop("__metadata__", None)
        for name, entry in header.items():
            dtype, (start, end) = TYPES[entry["dtype"]], entry["data_offsets"]
            if name.endswith(("spiece_model", ".alpha")):
                file.seek(8 + size + start)
                value = torch.frombuffer(bytearray(file.read(end - start)), dtype=dtype)
                weights[name] = value.reshape(entry["shape"])
            else:
                weights[name] = torch.empty(entry["shape"], dtype=dtype, device=META)
    # Newer versions translate scaled fp8 when they read a file.
    convert = getattr(comfy.utils, "convert_old_quants", None)
    return convert(weights, "", metadata=metadata) if convert else (weights, metadata)


def load_diffusion_model(path: Path) -> dict[str, Any]:
    model = _load_diffusion_model(path)
    config = model.model.model_config
    return {
        "model": type(model.model).__name__,
        "config": type(config).__name__,
        "millions": _millions(model.model.diffusion_model),
        # By its older and its newer name.
        "scaled": any(vars(config).get(name) is not None for name in ("scaled_fp8", "quant_config")),
    }


def _load_diffusion_model(path: Path) -> Any:
    weights, metadata = read_weights(path)
    with META:
        return comfy.sd.load_diffusion_model_state_dict(weights, metadata=metadata)


def load_text_encoder(path: Path) -> dict[str, Any]:
    types = {"qwen_3_4b": comfy.sd.CLIPType.LUMINA2, "umt5_xxl_fp8_e4m3fn_scaled": comfy.sd.CLIPType.WAN}
    weights, _ = read_weights(path)
    with META:
        clip = comfy.sd.load_text_encoder_state_dicts([weights], clip_type=types[path.stem])
    return {
        "model": type(clip.cond_stage_model).__name__,
        "tokenizer": type(clip.tokenizer).__name__,
        "millions": _millions(clip.cond_stage_model),
    }


def load_vae(path: Path) -> dict[str, Any]:
    weights, _ = read_weights(path)
    with META:
        vae: Any = comfy.sd.VAE(sd=weights)
    network = vae.first_stage_model
    return {"model": type(network).__name__, "millions": _millions(network)}


def load_audio_encoder(path: Path) -> dict[str, Any]:
    weights, _ = read_weights(path)
    with META:
        encoder = comfy.audio_encoders.audio_encoders.load_audio_encoder_from_sd(weights)
    return {"model": type(encoder.model).__name__, "millions": _millions(encoder.model)}


def load_lora(path: Path) -> dict[str, Any]:
    """The LoRA on the model that the profiles use it with."""
    model = _load_diffusion_model(
        path.parent.parent / "diffusion_models" / "wan2.2_s2v_14B_fp8_scaled.safetensors"
    )
    weights, _ = read_weights(path)
    patched: Any = comfy.sd.load_lora_for_models(model, None, weights, 1.0, 0.0)[0]
    return {"model": type(patched.model).__name__, "layers": len(patched.patches)}


def _millions(module: torch.nn.Module) -> int:
    return round(sum(parameter.numel() for parameter in module.parameters()) / 1e6)


LOADERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "diffusion_models": load_diffusion_model,
    "text_encoders": load_text_encoder,
    "vae": load_vae,
    "audio_encoders": load_audio_encoder,
    "loras": load_lora,
}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1])), indent=2))
