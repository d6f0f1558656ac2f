"""ComfyUI's own classes of the models that the recipes load, in any size: the tests write files from them.

`tests/tiny_models.py` builds them tiny, with random weights; `tests/true_size.py` as published, without any.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from driver.paths import COMFYUI

FP8 = torch.float8_e4m3fn

LORA = "loras/wan2.2_t2v_lightx2v_4steps_lora_v1.1_high_noise"

# The elements of the marker `scaled_fp8`: two say that only weights are scaled, not inputs.
S2V_MARKER = 2
UMT5_MARKER = 0


def import_comfy() -> None:
    if str(COMFYUI) not in sys.path:
        sys.path.append(str(COMFYUI))
    from comfy.cli_args import args

    # Without this ComfyUI asks CUDA for a device as soon as it is imported, and fails where there is none.
    args.cpu = True


def z_image(*, dim: int, layers: int, heads: int, text_width: int) -> nn.Module:
    from comfy.ldm.lumina.model import NextDiT

    return NextDiT(
        in_channels=16,
        dim=dim,
        n_layers=layers,
        n_heads=heads,
        n_kv_heads=heads,
        ffn_dim_multiplier=8 / 3,
        qk_norm=True,
        cap_feat_dim=text_width,
        axes_dims=[32, 48, 48],
        z_image_modulation=True,
        pad_tokens_multiple=32,
        operations=_operations(),
    )


def upscaler(*, filters: int, blocks: int) -> nn.Module:
    """A Real-ESRGAN, which ComfyUI loads with spandrel."""
    # Its architectures are in modules with names that only it imports.
    from spandrel.architectures.ESRGAN import ESRGAN

    return ESRGAN(num_filters=filters, num_blocks=blocks, scale=4)


def interpolator(*, head: int, channels: int) -> nn.Module | None:
    """A RIFE 4.26; None where ComfyUI has no nodes for it, before 0.33."""
    try:
        from comfy_extras.frame_interpolation_models.ifnet import IFNet  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    return IFNet(head_ch=head, channels=(channels,) * 5, operations=_operations())


def s2v(*, dim: int, ffn_dim: int, layers: int, audio_dim: int) -> nn.Module:
    from comfy.ldm.wan.model import WanModel_S2V

    # The text width is umt5's; ComfyUI derives the number of heads from the width, 128 a head.
    return WanModel_S2V(
        dim=dim,
        ffn_dim=ffn_dim,
        num_heads=dim // 128,
        num_layers=layers,
        audio_dim=audio_dim,
        operations=_operations(),
    )


def i2v(*, dim: int, ffn_dim: int, layers: int) -> nn.Module:
    """A Wan2.2 image-to-video model: it takes noise, the image's latents and a mask, 16 + 16 + 4 channels."""
    from comfy.ldm.wan.model import WanModel

    return WanModel(
        in_dim=36,
        dim=dim,
        ffn_dim=ffn_dim,
        num_heads=dim // 128,
        num_layers=layers,
        operations=_operations(),
    )


def qwen(config: dict[str, int]) -> nn.Module:
    """Qwen3 4B, except for what `config` says; the tokenizer is ComfyUI's own."""
    from comfy.text_encoders.llama import Qwen3_4B

    return Qwen3_4B(config, None, None, _operations())


def qwen_image(*, layers: int, heads: int, text_width: int) -> nn.Module:
    from comfy.ldm.qwen_image.model import QwenImageTransformer2DModel

    return QwenImageTransformer2DModel(
        num_layers=layers,
        num_attention_heads=heads,
        joint_attention_dim=text_width,
        operations=_operations(),
    )


def qwen_vl(config: dict[str, Any], vision: dict[str, int]) -> nn.Module:
    """Qwen2.5-VL 7B, except for what `config` says of its text part and `vision` of the other."""
    from comfy.text_encoders import llama, qwen_vl

    text = llama.Qwen25_7BVLI_Config(**config)
    model = nn.Module()
    model.model = llama.Llama2_(text, device=None, dtype=None, ops=_operations())
    width = text.hidden_size
    model.visual = qwen_vl.Qwen2VLVisionTransformer(**vision, output_hidden_size=width, ops=_operations())
    return model


def umt5(config: dict[str, Any]) -> nn.Module:
    from comfy.text_encoders.t5 import T5

    return T5(config, None, None, _operations())


def image_vae(channels: int) -> nn.Module:
    from comfy.ldm.models.autoencoder import AutoencodingEngine

    config = {
        "double_z": True,
        "z_channels": 16,
        "resolution": 256,
        "in_channels": 3,
        "out_ch": 3,
        "ch": channels,
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


def video_vae(dim: int) -> nn.Module:
    from comfy.ldm.wan.vae import WanVAE

    return WanVAE(dim=dim, z_dim=16, temperal_downsample=[False, True, True])


def wav2vec2(width: int) -> nn.Module:
    from comfy.audio_encoders.wav2vec2 import Wav2Vec2Model

    return Wav2Vec2Model(embed_dim=width, num_heads=16, num_layers=24, operations=_operations())


def linear_layers(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            yield name, module


def lora_layers(
    model: nn.Module, rank: int, blocks: str = "blocks."
) -> Iterator[tuple[str, dict[str, tuple[int, int]]]]:
    """The layers of the diffusion model that the LoRA changes, each with the shapes of its two matrices."""
    for name, layer in linear_layers(model):
        if name.startswith(blocks):
            yield (
                f"diffusion_model.{name}",
                {"lora_down": (rank, layer.in_features), "lora_up": (layer.out_features, rank)},
            )


def _operations() -> Any:
    import comfy.ops

    return comfy.ops.disable_weight_init


@cache
def sentencepiece_model() -> bytes:
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
    return model.getvalue()


def sentencepiece_size(model: bytes) -> int:
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_proto=model).get_piece_size()


def as_tensor(model: bytes) -> Tensor:
    return torch.frombuffer(bytearray(model), dtype=torch.uint8)
