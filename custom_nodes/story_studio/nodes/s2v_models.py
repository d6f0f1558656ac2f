"""Wan2.2 S2V Models: loads all models of a talking video from ComfyUI's model folders."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from .. import memory
from ..core import fit, folders, loading
from ..core.text_encoder import TextEncoder, shared
from ..core.wan_model import is_s2v
from ..shared_loader import SharedLoader
from .common import CATEGORY, advanced, warn_on_running_node

NO_LORA = "none"
_MARKS = {
    "diffusion_models": "s2v",
    "text_encoders": "umt5",
    "vae": "wan_2.1",
    "audio_encoders": "wav2vec2",
}
"""What the names of suitable files contain, by model folder."""


class S2VModels(io.ComfyNode):
    """Loads the model files in a thread, so that other nodes can run meanwhile."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_S2VModels",
            display_name="Wan2.2 S2V Models",
            category=CATEGORY,
            description="Loads the models of Wan2.2 S2V: the video model, the text encoder, the VAE and the "
            "audio encoder. Where memory allows, the files are read in the background while other nodes run.",
            inputs=[
                _file_input(
                    "diffusion_model",
                    "diffusion_models",
                    "The video model, for example wan2.2_s2v_14B_fp8_scaled.safetensors.",
                ),
                _file_input(
                    "text_encoder",
                    "text_encoders",
                    "Encodes the prompt: umt5_xxl_fp8_e4m3fn_scaled.safetensors.",
                ),
                _file_input("vae", "vae", "Converts frames to latents and back: wan_2.1_vae.safetensors."),
                _file_input(
                    "audio_encoder",
                    "audio_encoders",
                    "Encodes the voice: wav2vec2_large_english_fp16.safetensors.",
                ),
                *_patch_inputs(),
            ],
            outputs=[
                io.Model.Output(tooltip="The video model with the LoRA. Link it to Talking Video."),
                io.Clip.Output(tooltip="The text encoder. Link it to the CLIP Text Encode of each prompt."),
                io.Vae.Output(tooltip="Link it to Talking Video."),
                io.AudioEncoder.Output(tooltip="Link it to Talking Video."),
            ],
            hidden=[io.Hidden.dynprompt],
        )

    @classmethod
    async def execute(
        cls,
        diffusion_model: str,
        text_encoder: str,
        vae: str,
        audio_encoder: str,
        lora: str,
        lora_strength: float,
        shift: float,
    ) -> io.NodeOutput:
        """Returns the four models, as ComfyUI's own loaders do."""
        fit.require_talking_video()
        memory.prepare(cls.hidden.dynprompt)
        # ComfyUI starts all nodes that are ready before it caches the first one's result, so equal nodes (one
        # in each scene's box) have to share the loading here.
        models = await _shared_models(
            diffusion_model, text_encoder, vae, audio_encoder, lora, lora_strength, shift
        )
        return io.NodeOutput(*models)


def _file_input(name: str, folder: str, tooltip: str) -> io.Input:
    files = folders.model_names(folder)
    suitable = [file for file in files if _MARKS[folder] in file.lower()]
    combo = io.Combo.Input(name, options=files, tooltip=tooltip)
    if suitable:
        combo.default = suitable[0]
    return combo


def _patch_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "lora",
            options=[NO_LORA, *folders.model_names("loras")],
            default=NO_LORA,
            tooltip="Optional. The lightx2v LoRA renders in 4 steps at cfg 1; it was not made for S2V, and "
            "the body moves less.",
        ),
        advanced(
            io.Float.Input(
                "lora_strength",
                default=1.0,
                min=-10.0,
                max=10.0,
                step=0.05,
                tooltip="Strength of the LoRA: 1 is full strength, 0 turns it off.",
            )
        ),
        advanced(
            io.Float.Input(
                "shift",
                default=3.0,
                min=0.0,
                max=100.0,
                step=0.1,
                tooltip="Shift of the noise schedule: 3 is the official value, higher gives more motion.",
            )
        ),
    ]


def _load_diffusion_model(name: str, lora: str, strength: float, shift: float) -> Any:
    model = loading.load_diffusion_model(folders.model_file("diffusion_models", name))
    if not is_s2v(model):
        raise ValueError(
            f"{name} is not a Wan2.2 S2V model (ComfyUI loads it as {type(model.model).__name__}): choose "
            "wan2.2_s2v_14B_fp8_scaled.safetensors or another S2V file as diffusion_model."
        )
    if lora != NO_LORA and strength != 0:
        model = loading.apply_lora(model, folders.model_file("loras", lora), strength)
    return loading.apply_shift(model, shift)


def _load_models(
    diffusion_model: str,
    text_encoder: str,
    vae: str,
    audio_encoder: str,
    lora: str,
    lora_strength: float,
    shift: float,
) -> tuple[Any, ...]:
    path = folders.model_file("text_encoders", text_encoder)

    def make_text_encoder() -> TextEncoder:
        return TextEncoder(
            lambda: loading.load_text_encoder(path, folders.embeddings()),
            lambda: memory.prompts_of(text_encoder),
            memory.keeps_text_encoders,
            warn_on_running_node,
        )

    def load_text_encoder() -> TextEncoder:
        # As a Text Encoder of the type wan has it.
        return shared(path, "wan default", make_text_encoder)

    # Inference mode is per thread, and ComfyUI's own loaders run in it.
    with torch.inference_mode():
        # Where memory is short the text encoder is freed again before the others are read.
        early = None if memory.keeps_text_encoders() else load_text_encoder()
        return (
            _load_diffusion_model(diffusion_model, lora, lora_strength, shift),
            early or load_text_encoder(),
            loading.load_vae(folders.model_file("vae", vae)),
            loading.load_audio_encoder(folders.model_file("audio_encoders", audio_encoder)),
        )


_shared_models = SharedLoader(_load_models, "s2v_models")
