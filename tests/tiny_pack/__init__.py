"""Test only: lets stock nodes load the tiny models of `tests/tiny_models.py`, and records what a server did.

ComfyUI takes some dimensions of these models for granted. Here they come from the shapes in the file instead,
in functions which every loader passes.

STORY_STUDIO_TEST_LOADS and STORY_STUDIO_TEST_SAMPLES name files that get one JSON line for each model file
that is read, and for each sampling run that starts; with STORY_STUDIO_TEST_ALIVE the former also say which
models are in memory then.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any

import comfy.audio_encoders.audio_encoders as audio_encoders
import comfy.model_base
import comfy.model_detection as model_detection
import comfy.samplers
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import comfy.text_encoders.qwen_vl as qwen_vl
import comfy.text_encoders.sd3_clip as sd3_clip
import comfy.utils
from torch import OutOfMemoryError, Tensor, arange, cat, pi, sin, stack

Weights = dict[str, Tensor]

_lock = threading.Lock()
_image_vae_channels: ContextVar[int] = ContextVar("image_vae_channels", default=128)


def _patch_diffusion_models() -> None:
    detect = model_detection.detect_unet_config

    @wraps(detect)
    def detect_tiny(state_dict: Weights, key_prefix: str, metadata: dict[str, str] | None = None) -> Any:
        config = detect(state_dict, key_prefix, metadata=metadata)
        if config and config.get("image_model") == "lumina2" and f"{key_prefix}cap_pad_token" in state_dict:
            config.update(
                n_heads=config["dim"] // 128,
                n_kv_heads=config["dim"] // 128,
                axes_dims=[32, 48, 48],
                axes_lens=[1536, 512, 512],
                rope_theta=256.0,
                ffn_dim_multiplier=8 / 3,
                z_image_modulation=True,
                time_scale=1000.0,
                pad_tokens_multiple=32,
            )
        elif config and config.get("image_model") == "qwen_image":
            config["num_attention_heads"] = state_dict[f"{key_prefix}img_in.weight"].shape[0] // 128
            config["joint_attention_dim"] = state_dict[f"{key_prefix}txt_in.weight"].shape[1]
        elif config and config.get("model_type") == "s2v":
            audio = state_dict[f"{key_prefix}casual_audio_encoder.encoder.conv1_local.conv.weight"]
            config["audio_dim"] = audio.shape[1]
        return config

    model_detection.detect_unet_config = detect_tiny
    comfy.supported_models.ZImage.unet_config = {"image_model": "lumina2", "z_image_modulation": True}


def _patch_text_encoders() -> None:
    load, detect = comfy.sd.load_text_encoder_state_dicts, comfy.sd.detect_te_model
    detect_t5 = comfy.sd.t5xxl_detect

    @wraps(detect)
    def detect_tiny(weights: Weights) -> Any:
        # Newer versions distinguish models by dimensions, too.
        kinds = {
            "qwen3_4b_model_config": "QWEN3_4B",
            "qwen25_7b_model_config": "QWEN25_7B",
            "umt5xxl_model_config": "T5_XXL",
        }
        types = [getattr(comfy.sd.TEModel, kinds[name]) for name in _text_configs(weights)]
        return types[0] if types else detect(weights)

    @wraps(detect_t5)
    def detect_tiny_t5(state_dicts: list[Weights]) -> dict[str, Any]:
        # ComfyUI knows the precision of this encoder only if it has a 24th block.
        tiny = [weights for weights in state_dicts if "umt5xxl_model_config" in _text_configs(weights)]
        return sd3_clip.t5_xxl_detect(tiny[0]) if tiny else detect_t5(state_dicts)

    @wraps(load)
    def load_tiny(
        state_dicts: list[Weights],
        embedding_directory: str | None = None,
        clip_type: comfy.sd.CLIPType = comfy.sd.CLIPType.STABLE_DIFFUSION,
        model_options: dict[str, Any] | None = None,
        **newer: Any,
    ) -> Any:
        options = dict(model_options or {})
        for weights in state_dicts:
            options.update(_text_configs(weights))
        return load(state_dicts, embedding_directory, clip_type, options, **newer)

    comfy.sd.load_text_encoder_state_dicts = load_tiny
    comfy.sd.detect_te_model = detect_tiny
    comfy.sd.t5xxl_detect = detect_tiny_t5


def _text_configs(weights: Weights) -> dict[str, dict[str, int]]:
    def rows(name: str) -> int:
        return weights[name].shape[0]

    names = {"q_norm.weight": "qwen3_4b_model_config", "k_proj.bias": "qwen25_7b_model_config"}
    if found := [name for key, name in names.items() if f"model.layers.0.self_attn.{key}" in weights]:
        return {
            found[0]: {
                "hidden_size": rows("model.norm.weight"),
                "intermediate_size": rows("model.layers.0.mlp.gate_proj.weight"),
                "num_hidden_layers": model_detection.count_blocks(weights, "model.layers.{}."),
                "num_attention_heads": rows("model.layers.0.self_attn.q_proj.weight") // 128,
                "num_key_value_heads": rows("model.layers.0.self_attn.k_proj.weight") // 128,
            }
        }
    block = "encoder.block.0.layer"
    if f"{block}.1.DenseReluDense.wi_0.weight" in weights and "spiece_model" in weights:
        heads = weights[f"{block}.0.SelfAttention.relative_attention_bias.weight"].shape[1]
        return {
            "umt5xxl_model_config": {
                "d_ff": rows(f"{block}.1.DenseReluDense.wi_0.weight"),
                "d_kv": rows(f"{block}.0.SelfAttention.q.weight") // heads,
                "num_heads": heads,
                "num_layers": model_detection.count_blocks(weights, "encoder.block.{}."),
                "vocab_size": rows("shared.weight"),
            }
        }
    return {}


def _patch_vision() -> None:
    transformer = qwen_vl.Qwen2VLVisionTransformer

    def make_transformer(output_hidden_size: int, **options: Any) -> Any:
        # Its width is written in ComfyUI's code; only that of what it is for is in the weights.
        tiny = {"hidden_size": 64, "intermediate_size": 64, "num_heads": 2, "num_layers": 2}
        options |= {} if output_hidden_size == 3584 else tiny
        return transformer(output_hidden_size=output_hidden_size, **options)

    qwen_vl.Qwen2VLVisionTransformer = make_transformer


def _patch_image_vae() -> None:
    init = comfy.sd.VAE.__init__
    engine = comfy.sd.AutoencodingEngine

    @wraps(init)
    def init_tiny(self: Any, sd: Any = None, *args: Any, **kwargs: Any) -> None:
        # The engine gets a width, not the weights, so the width of these weights is passed from here.
        norm = sd.get("decoder.norm_out.weight")
        token = _image_vae_channels.set(128 if norm is None else norm.shape[0])
        try:
            init(self, sd, *args, **kwargs)
        finally:
            _image_vae_channels.reset(token)

    def make_engine(**configs: dict[str, Any]) -> Any:
        for config in configs.values():
            if config.get("params", {}).get("ch") == 128:
                config["params"]["ch"] = _image_vae_channels.get()
        return engine(**configs)

    comfy.sd.VAE.__init__ = init_tiny
    comfy.sd.AutoencodingEngine = make_engine


def _patch_audio_encoders() -> None:
    load = audio_encoders.load_audio_encoder_from_sd

    @wraps(load)
    def load_tiny(weights: Weights, *args: Any, **kwargs: Any) -> Any:
        norm = weights.get("encoder.layer_norm.bias")
        if norm is None or norm.shape[0] in (768, 1024):
            return load(weights, *args, **kwargs)
        encoder = audio_encoders.AudioEncoderModel(
            {"model_type": "wav2vec2", "embed_dim": norm.shape[0], "num_heads": 16, "num_layers": 24}
        )
        encoder.load_sd(weights)
        return encoder

    audio_encoders.load_audio_encoder_from_sd = load_tiny


def _append(path: str, entry: dict[str, Any]) -> None:
    with _lock, open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps({**entry, "time": time.time()}) + "\n")


def _alive() -> list[str]:
    """The classes of all models that are in memory, also of those that nothing but a cycle refers to."""
    kinds = (comfy.model_base.BaseModel, comfy.sd1_clip.SD1ClipModel)
    # By its type: `isinstance` asks what a weak proxy stands for, which may be gone.
    return sorted(type(found).__name__ for found in gc.get_objects() if issubclass(type(found), kinds))


def _record_loads(path: str) -> None:
    load = comfy.utils.load_torch_file

    @wraps(load)
    def load_and_record(ckpt: str, *args: Any, **kwargs: Any) -> Any:
        alive = {"alive": _alive()} if "STORY_STUDIO_TEST_ALIVE" in os.environ else {}
        _append(path, {"file": Path(ckpt).name, "thread": threading.current_thread().name, **alive})
        return load(ckpt, *args, **kwargs)

    _replace_everywhere("load_torch_file", load, load_and_record)


def _replace_everywhere(name: str, old: Callable[..., Any], new: Callable[..., Any]) -> None:
    for module in list(sys.modules.values()):
        if getattr(module, "__dict__", {}).get(name) is old:
            setattr(module, name, new)


def _record_samples(path: str) -> None:
    sample = comfy.samplers.CFGGuider.sample

    @wraps(sample)
    def sample_and_record(
        self: Any,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        kind = type(self.model_patcher.model).__name__
        _append(path, {"kind": kind, "steps": len(sigmas) - 1, "shape": list(latent_image.shape)})
        return sample(self, noise, latent_image, sampler, sigmas, *args, **kwargs)

    comfy.samplers.CFGGuider.sample = sample_and_record


def _wait_until_sent() -> None:
    """Waits until the server has sent its messages, which say what node is running."""
    # Imported here because this pack is also loaded where there is no server.
    from server import PromptServer

    server = PromptServer.instance

    async def wait() -> None:
        while not server.messages.empty():
            await asyncio.sleep(0)

    asyncio.run_coroutine_threadsafe(wait(), server.loop).result()


class TestRaise:
    """Fails in the way that `when` names: fail, starve (of memory), die, hang.

    With `once` in it, and a file's name as `message`, only until that file exists; and with `no space`, as a
    full disk, only as long as it does.
    """

    __test__ = False  # otherwise pytest collects it because of its name
    CATEGORY = "testing"
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "fail"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        texts = {
            "message": ("STRING", {"default": "it was told to fail"}),
            "when": ("STRING", {"default": "fail"}),
        }
        return {"required": {"image": ("IMAGE",), **texts}}

    def fail(self, image: Tensor, message: str, when: str) -> tuple[Tensor]:
        if "once" in when:
            if Path(message).exists():
                return (image,)
            Path(message).touch()
        if "no space" in when and Path(message).exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), message)
        if "fail" in when:
            raise RuntimeError(message)
        if "starve" in when:
            raise OutOfMemoryError("Allocation on device")
        if "die" in when:
            _wait_until_sent()
            os.kill(os.getpid(), signal.SIGKILL)
        if "hang" in when:
            time.sleep(3600)
        return (image,)


class TestInterpolate:
    """Blends frames: `multiplier` - 1 new ones between each two, as many as ComfyUI's own node since 0.33."""

    __test__ = False  # otherwise pytest collects it because of its name
    CATEGORY = "testing"
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "blend"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"images": ("IMAGE",), "multiplier": ("INT", {"default": 2})}}

    def blend(self, images: Tensor, multiplier: int) -> tuple[Tensor]:
        first, second = images[:-1], images[1:]
        parts = [first + (second - first) * (step / multiplier) for step in range(multiplier)]
        return (cat([stack(parts, 1).flatten(0, 1), images[-1:]]),)


class TestSpeak:
    """Speaks as text-to-speech nodes do: a tone of 0.05 s for each letter, silence for the rest. It fails on
    the text `fail`."""

    __test__ = False  # otherwise pytest collects it because of its name
    CATEGORY = "testing"
    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "speak"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "text": ("STRING", {"default": "", "forceInput": True}),
                "pitch": ("STRING", {"default": "1", "forceInput": True}),
                "speed": ("FLOAT", {"default": 1.0, "forceInput": True}),
            }
        }

    def speak(self, text: str, pitch: str, speed: float) -> tuple[dict[str, Any]]:
        if text == "fail":
            raise RuntimeError("no such voice")
        time = arange(round(24_000 * 0.05 / speed)) / 24_000
        tones = [(150 + 10 * (ord(each) % 32)) * float(pitch) * each.isalpha() for each in text]
        wave = cat([0.2 * sin(2 * pi * tone * time) for tone in tones])
        return ({"waveform": wave[None, None], "sample_rate": 24_000},)


class TestMove:
    """Moves an image sideways for as long as the audio, at 16 frames a second; with one of the seeds in
    `freezes` it stands still from the middle on, and with one that has a minus sign there it fails."""

    __test__ = False  # otherwise pytest collects it because of its name
    CATEGORY = "testing"
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "move"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        seed = ("INT", {"default": 0, "max": 2**64 - 1})
        return {
            "required": {"image": ("IMAGE",), "audio": ("AUDIO",), "seed": seed, "freezes": ("STRING", {})}
        }

    def move(self, image: Tensor, audio: dict[str, Any], seed: int, freezes: str) -> tuple[Tensor]:
        if f"-{seed}" in freezes.split():
            raise RuntimeError("no such seed")
        frames = round(16 * audio["waveform"].shape[-1] / audio["sample_rate"])
        last = frames // 2 if str(seed) in freezes.split() else frames
        # By another way for every seed, so that no two takes are the same file.
        step = 1 + seed % 3
        return (cat([image[:1].roll(step * min(number, last), 2) for number in range(frames)]),)


_NODES = (TestRaise, TestInterpolate, TestSpeak, TestMove)
NODE_CLASS_MAPPINGS = {node.__name__: node for node in _NODES}

_patch_diffusion_models()
_patch_text_encoders()
_patch_vision()
_patch_image_vae()
_patch_audio_encoders()
if loads := os.environ.get("STORY_STUDIO_TEST_LOADS"):
    _record_loads(loads)
if samples := os.environ.get("STORY_STUDIO_TEST_SAMPLES"):
    _record_samples(samples)
