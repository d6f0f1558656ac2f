"""Tiny random models under the production file names, so that the real stock graphs run on a CPU.

`python -m tests.tiny_models FOLDER` writes them into ComfyUI's model folders below FOLDER. Every tensor is
drawn from a generator seeded by its file and its name, so a file does not change when others do. Some
dimensions ComfyUI takes for granted: there the test-only pack in `tests/tiny_pack` helps it to load the file.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from functools import cache
from math import prod
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from driver.paths import COMFYUI

FP8 = torch.float8_e4m3fn

# Learned vectors that are added to activations: of their own scale, whatever their shape says about a fan-in.
VECTORS = ("modulation", "pad_token", "padding_tokens", "masked_spec_embed")
EMBEDDINGS = (
    "embed_tokens.weight",
    "shared.weight",
    "relative_attention_bias.weight",
    "trainable_cond_mask.weight",
)


def make_models(folder: Path) -> None:
    """Write all model files below `folder`, about 84 MB."""
    _import_comfy()
    for name, dtype, build in (
        ("diffusion_models/z_image_turbo_bf16", torch.bfloat16, _z_image),
        ("diffusion_models/z_image_bf16", torch.bfloat16, _z_image),
        ("diffusion_models/wan2.2_s2v_14B_bf16", torch.bfloat16, _s2v),
        ("text_encoders/qwen_3_4b", torch.bfloat16, _qwen),
        ("vae/ae", torch.bfloat16, _image_vae),
        ("vae/wan_2.1_vae", torch.bfloat16, _video_vae),
        ("audio_encoders/wav2vec2_large_english_fp16", torch.float16, _wav2vec2),
    ):
        _save(folder, name, dict(_weights(name, build, dtype)))

    # The same model as in bf16. By its two elements the marker says that only weights are scaled, not inputs.
    s2v = _fp8_weights("diffusion_models/wan2.2_s2v_14B_bf16", _s2v)
    s2v["scaled_fp8"] = torch.zeros(2, dtype=FP8)
    _save(folder, "diffusion_models/wan2.2_s2v_14B_fp8_scaled", s2v)

    name = "text_encoders/umt5_xxl_fp8_e4m3fn_scaled"
    umt5 = _fp8_weights(name, _umt5)
    umt5["scaled_fp8"] = torch.zeros(0, dtype=FP8)
    umt5["spiece_model"] = _sentencepiece_model()
    _save(folder, name, umt5)

    name = "loras/wan2.2_t2v_lightx2v_4steps_lora_v1.1_high_noise"
    _save(folder, name, dict(_lora(name)))


def _import_comfy() -> None:
    if str(COMFYUI) not in sys.path:
        sys.path.append(str(COMFYUI))
    from comfy.cli_args import args

    # Without this ComfyUI asks CUDA for a device as soon as it is imported, and fails where there is none.
    args.cpu = True


def _z_image() -> nn.Module:
    from comfy.ldm.lumina.model import NextDiT

    # 256 is the least width: the timestep embedding has no other output size.
    return NextDiT(
        in_channels=16,
        dim=256,
        n_layers=2,
        n_heads=2,
        n_kv_heads=2,
        ffn_dim_multiplier=8 / 3,
        qk_norm=True,
        cap_feat_dim=64,
        axes_dims=[32, 48, 48],
        z_image_modulation=True,
        pad_tokens_multiple=32,
        operations=_operations(),
    )


def _s2v() -> nn.Module:
    from comfy.ldm.wan.model import WanModel_S2V

    # The text width is umt5's; ComfyUI derives the number of heads from the width, 128 a head.
    return WanModel_S2V(
        dim=128, ffn_dim=256, num_heads=1, num_layers=2, audio_dim=32, operations=_operations()
    )


def _qwen() -> nn.Module:
    from comfy.text_encoders.llama import Qwen3_4B

    # ComfyUI asks for the last layer but one of at least three. The tokenizer is the real one.
    config = {
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
    }
    return Qwen3_4B(config, None, "cpu", _operations())


def _umt5() -> nn.Module:
    from comfy.text_encoders.t5 import T5

    # ComfyUI knows this encoder by its 24th block and by its width.
    config = {
        "d_ff": 8,
        "d_kv": 8,
        "d_model": 4096,
        "dense_act_fn": "gelu_pytorch_tanh",
        "is_gated_act": True,
        "model_type": "umt5",
        "num_heads": 1,
        "num_layers": 24,
        "vocab_size": _sentencepiece_size(),
    }
    return T5(config, None, "cpu", _operations())


def _image_vae() -> nn.Module:
    from comfy.ldm.models.autoencoder import AutoencodingEngine

    # 32 channels are the least that GroupNorm(32) takes.
    config = {
        "double_z": True,
        "z_channels": 16,
        "resolution": 256,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1, 2, 4, 4],
        "num_res_blocks": 2,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    layers = "comfy.ldm.modules.diffusionmodules.model"
    return AutoencodingEngine(
        regularizer_config={"target": "comfy.ldm.models.autoencoder.DiagonalGaussianRegularizer"},
        encoder_config={"target": f"{layers}.Encoder", "params": config},
        decoder_config={"target": f"{layers}.Decoder", "params": config},
    )


def _video_vae() -> nn.Module:
    from comfy.ldm.wan.vae import WanVAE

    return WanVAE(dim=4, z_dim=16, temperal_downsample=[False, True, True])


def _wav2vec2() -> nn.Module:
    from comfy.audio_encoders.wav2vec2 import Wav2Vec2Model

    return Wav2Vec2Model(embed_dim=32, num_heads=16, num_layers=24, operations=_operations())


def _operations() -> Any:
    import comfy.ops

    return comfy.ops.disable_weight_init


def _weights(file: str, build: Callable[[], nn.Module], dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in build().state_dict().items():
        yield name, _random(file, name, tensor.shape).to(dtype)


def _fp8_weights(file: str, build: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """Weights of linear layers in scaled fp8, as in the production files, and all others in bf16."""
    weights = dict(_weights(file, build, torch.bfloat16))
    for name, module in build().named_modules():
        if isinstance(module, nn.Linear):
            weight = weights[f"{name}.weight"].float()
            scale = weight.abs().max() / torch.finfo(FP8).max
            weights[f"{name}.weight"] = (weight / scale).to(FP8)
            weights[f"{name}.scale_weight"] = scale
    return weights


def _lora(file: str, rank: int = 4) -> Iterator[tuple[str, Tensor]]:
    for name, module in _s2v().named_modules():
        if isinstance(module, nn.Linear) and name.startswith("blocks."):
            key = f"diffusion_model.{name}"
            for part, shape in (
                ("lora_down", (rank, module.in_features)),
                ("lora_up", (module.out_features, rank)),
            ):
                weight_name = f"{key}.{part}.weight"
                yield weight_name, _random(file, weight_name, shape).mul(0.3).to(torch.bfloat16)
            yield f"{key}.alpha", torch.tensor(float(rank))


def _random(file: str, name: str, shape: tuple[int, ...]) -> Tensor:
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


@cache
def _sentencepiece_model() -> Tensor:
    """A tokenizer of letters and raw bytes, which can encode any text."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(
            ["the quick brown fox jumps over the lazy dog", "a person speaks to the camera"]
        ),
        model_writer=model,
        vocab_size=295,
        byte_fallback=True,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    return torch.frombuffer(bytearray(model.getvalue()), dtype=torch.uint8)


def _sentencepiece_size() -> int:
    import sentencepiece

    proto = _sentencepiece_model().numpy().tobytes()
    return sentencepiece.SentencePieceProcessor(model_proto=proto).get_piece_size()


def _save(folder: Path, name: str, tensors: dict[str, Tensor]) -> None:
    path = folder / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)


if __name__ == "__main__":
    make_models(Path(sys.argv[1]))
