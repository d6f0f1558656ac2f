"""Tiny random models under the production file names, so that the real stock graphs run on a CPU.

`python -m tests.tiny_models FOLDER` writes them into ComfyUI's model folders below FOLDER. Every tensor is
drawn from a generator seeded by its file and its name, so a file does not change when others do. Some
dimensions ComfyUI takes for granted: there the test-only pack in `tests/tiny_pack` helps it to load the file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from pathlib import Path
from zlib import crc32

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests import model_builders as builders
from tests.model_builders import FP8

# Learned vectors that are added to activations: of their own scale, whatever their shape says about a fan-in.
VECTORS = ("modulation", "pad_token", "padding_tokens", "masked_spec_embed")
EMBEDDINGS = (
    "embed_tokens.weight",
    "shared.weight",
    "relative_attention_bias.weight",
    "trainable_cond_mask.weight",
)


def make_models(folder: Path) -> None:
    """Write all model files below `folder`, about 90 MB."""
    builders.import_comfy()
    for name, dtype, build in (
        ("diffusion_models/z_image_turbo_bf16", torch.bfloat16, _z_image),
        ("diffusion_models/z_image_bf16", torch.bfloat16, _z_image),
        ("diffusion_models/wan2.2_s2v_14B_bf16", torch.bfloat16, _s2v),
        ("text_encoders/qwen_3_4b", torch.bfloat16, _qwen),
        # 32 channels are the least that GroupNorm(32) takes.
        ("vae/ae", torch.bfloat16, partial(builders.image_vae, 32)),
        ("vae/wan_2.1_vae", torch.bfloat16, partial(builders.video_vae, 4)),
        ("audio_encoders/wav2vec2_large_english_fp16", torch.float16, partial(builders.wav2vec2, 32)),
    ):
        _save(folder, name, dict(_weights(name, build, dtype)))

    for name, network in (
        ("upscale_models/RealESRGAN_x4plus", builders.upscaler(filters=8, blocks=1)),
        ("frame_interpolation/rife_v4.26", builders.interpolator(head=4, channels=8)),
    ):
        if network:
            _save(folder, name, dict(_weights(name, lambda network=network: network, torch.float32)))

    # The same model as in bf16.
    s2v = _fp8_weights("diffusion_models/wan2.2_s2v_14B_bf16", _s2v)
    s2v["scaled_fp8"] = torch.zeros(builders.S2V_MARKER, dtype=FP8)
    _save(folder, "diffusion_models/wan2.2_s2v_14B_fp8_scaled", s2v)

    for name in ("wan2.2_i2v_high_noise_14B_fp8_scaled", "wan2.2_i2v_low_noise_14B_fp8_scaled"):
        i2v = _fp8_weights(f"diffusion_models/{name}", _i2v)
        i2v["scaled_fp8"] = torch.zeros(builders.S2V_MARKER, dtype=FP8)
        _save(folder, f"diffusion_models/{name}", i2v)

    name = "text_encoders/umt5_xxl_fp8_e4m3fn_scaled"
    umt5 = _fp8_weights(name, _umt5)
    umt5["scaled_fp8"] = torch.zeros(builders.UMT5_MARKER, dtype=FP8)
    umt5["spiece_model"] = builders.as_tensor(builders.sentencepiece_model())
    _save(folder, name, umt5)

    _save(folder, builders.LORA, dict(_lora(builders.LORA, _s2v())))


def make_reference_models(folder: Path) -> None:
    """Write the models of the recipe `qwen_image_edit_still` below `folder`, about 12 MB."""
    builders.import_comfy()
    edit = partial(builders.qwen_image, layers=1, heads=1, text_width=32)
    for name, build in (
        ("diffusion_models/qwen_image_edit_2509_fp8_e4m3fn", edit),
        ("text_encoders/qwen_2.5_vl_7b_fp8_scaled", _qwen_vl),
        # References are encoded at a megapixel, whatever the size of the still.
        ("vae/qwen_image_vae", partial(builders.video_vae, 1)),
    ):
        _save(folder, name, dict(_weights(name, build, torch.bfloat16)))


def make_character_lora(folder: Path, name: str) -> None:
    """Write a LoRA for Z-Image."""
    builders.import_comfy()
    _save(folder, f"loras/{name}", dict(_lora(name, _z_image(), "layers.")))


def _qwen_vl() -> nn.Module:
    config = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
    }
    vision = {"hidden_size": 64, "intermediate_size": 64, "num_heads": 2, "num_layers": 2}
    return builders.qwen_vl(config, vision)


def _z_image() -> nn.Module:
    # 256 is the least width: the timestep embedding has no other output size.
    return builders.z_image(dim=256, layers=2, heads=2, text_width=64)


def _s2v() -> nn.Module:
    return builders.s2v(dim=128, ffn_dim=256, layers=2, audio_dim=32)


def _i2v() -> nn.Module:
    return builders.i2v(dim=128, ffn_dim=256, layers=2)


def _qwen() -> nn.Module:
    # ComfyUI asks for the last layer but one of at least three.
    return builders.qwen(
        {
            "hidden_size": 64,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 1,
            "num_key_value_heads": 1,
        }
    )


def _umt5() -> nn.Module:
    # The diffusion model takes its width. Four blocks, because with 24 every prompt would take half a second.
    return builders.umt5(
        {
            "d_ff": 8,
            "d_kv": 8,
            "d_model": 4096,
            "dense_act_fn": "gelu_pytorch_tanh",
            "is_gated_act": True,
            "model_type": "umt5",
            "num_heads": 1,
            "num_layers": 4,
            "vocab_size": builders.sentencepiece_size(builders.sentencepiece_model()),
        }
    )


def _weights(file: str, build: Callable[[], nn.Module], dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in build().state_dict().items():
        yield name, random_weight(file, name, tensor.shape).to(dtype)


def _fp8_weights(file: str, build: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """Weights of linear layers in scaled fp8, as in the production files, and all others in bf16."""
    weights = dict(_weights(file, build, torch.bfloat16))
    for name, _ in builders.linear_layers(build()):
        weight = weights[f"{name}.weight"].float()
        scale = weight.abs().max() / torch.finfo(FP8).max
        weights[f"{name}.weight"] = (weight / scale).to(FP8)
        weights[f"{name}.scale_weight"] = scale
    return weights


def _lora(
    file: str, model: nn.Module, blocks: str = "blocks.", rank: int = 4
) -> Iterator[tuple[str, Tensor]]:
    for layer, matrices in builders.lora_layers(model, rank, blocks):
        for part, shape in matrices.items():
            name = f"{layer}.{part}.weight"
            yield name, random_weight(file, name, shape).mul(0.3).to(torch.bfloat16)
        yield f"{layer}.alpha", torch.tensor(float(rank))


def random_weight(file: str, name: str, shape: tuple[int, ...]) -> Tensor:
    """A tensor that keeps the size of what passes through it, so that no activation vanishes or overflows."""
    generator = torch.Generator().manual_seed(crc32(f"{file}/{name}".encode()))
    noise = torch.randn(shape, generator=generator)
    if name.endswith(EMBEDDINGS):
        return noise
    if name.endswith((".bias", *VECTORS)):
        return noise * 0.05
    # Norms, the magnitudes of a normed weight, and the mix of the audio layers, whose sum ComfyUI divides by.
    if prod(shape) == max(shape):
        return torch.ones(shape)
    return noise / prod(shape[1:]) ** 0.5


def _save(folder: Path, name: str, tensors: dict[str, Tensor]) -> None:
    path = folder / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)


if __name__ == "__main__":
    make_models(Path(sys.argv[1]))
