"""Wan2.2 S2V Models: everything a talking video needs from ComfyUI's model folders."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ..core import fit, folders, loading
from ..core.wan_model import is_s2v
from ..shared_loader import SharedLoader
from .common import CATEGORY, advanced

NO_LORA = "none"
_OF_THIS_FAMILY = {
    "diffusion_models": "s2v",
    "text_encoders": "umt5",
    "vae": "wan_2.1",
    "audio_encoders": "wav2vec2",
}
"""A word in the names of the files that fit, by folder."""


class S2VModels(io.ComfyNode):
    """Reads the model files in a thread, so that other nodes go on working."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        def choice(name: str, folder: str, tooltip: str) -> io.Input:
            files = folders.model_names(folder)
            fitting = [file for file in files if _OF_THIS_FAMILY[folder] in file.lower()]
            combo = io.Combo.Input(name, options=files, tooltip=tooltip)
            if fitting:
                combo.default = fitting[0]
            return combo

        return io.Schema(
            node_id="StoryStudio_S2VModels",
            display_name="Wan2.2 S2V Models",
            category=CATEGORY,
            description="Loads the models of Wan2.2 S2V: the video model, and those that read the prompt, "
            "the picture and the voice. It reads its files while other nodes work.",
            inputs=[
                choice(
                    "diffusion_model",
                    "diffusion_models",
                    "The video model, for example wan2.2_s2v_14B_fp8_scaled.safetensors.",
                ),
                choice(
                    "text_encoder",
                    "text_encoders",
                    "Reads the prompt: umt5_xxl_fp8_e4m3fn_scaled.safetensors.",
                ),
                choice("vae", "vae", "Pictures to latents and back: wan_2.1_vae.safetensors."),
                choice(
                    "audio_encoder",
                    "audio_encoders",
                    "Listens to the voice: wav2vec2_large_english_fp16.safetensors.",
                ),
                io.Combo.Input(
                    "lora",
                    options=[NO_LORA, *folders.model_names("loras")],
                    default=NO_LORA,
                    tooltip="Optional. The lightx2v LoRA renders in 4 steps at cfg 1; it was not made for "
                    "S2V and moves less.",
                ),
                advanced(
                    io.Float.Input(
                        "lora_strength",
                        default=1.0,
                        min=-10.0,
                        max=10.0,
                        step=0.05,
                        tooltip="How strongly the LoRA works: 1 is as it was made, 0 is without it.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "shift",
                        default=3.0,
                        min=0.0,
                        max=100.0,
                        step=0.1,
                        tooltip="How long the noise stays high: 3 is the official value, higher means more "
                        "motion.",
                    )
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="The video model, with the LoRA: to Talking Video."),
                io.Clip.Output(tooltip="The text encoder: to the CLIP Text Encode of each prompt."),
                io.Vae.Output(tooltip="To Talking Video."),
                io.AudioEncoder.Output(tooltip="To Talking Video."),
            ],
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
        """The four models, as ComfyUI's own loaders give them."""
        fit.require_talking_video()
        # ComfyUI starts all nodes that are ready before it keeps what the first one gives, so equal nodes,
        # one in each scene's box, have to share the reading here.
        choice = diffusion_model, text_encoder, vae, audio_encoder, lora, lora_strength, shift
        return io.NodeOutput(*await _shared_models(*choice))


def _diffusion_model(name: str, lora: str, strength: float, shift: float) -> Any:
    model = loading.load_diffusion_model(folders.model_file("diffusion_models", name))
    if not is_s2v(model):
        raise ValueError(
            f"{name} is not a Wan2.2 S2V model (ComfyUI takes it for {type(model.model).__name__}): choose "
            "wan2.2_s2v_14B_fp8_scaled.safetensors or another S2V file as the diffusion model."
        )
    if lora != NO_LORA and strength != 0:
        model = loading.apply_lora(model, folders.model_file("loras", lora), strength)
    return loading.apply_shift(model, shift)


def _read_models(
    diffusion_model: str,
    text_encoder: str,
    vae: str,
    audio_encoder: str,
    lora: str,
    lora_strength: float,
    shift: float,
) -> tuple[Any, ...]:
    # Inference mode belongs to a thread, and the stock loaders run in it.
    with torch.inference_mode():
        return (
            _diffusion_model(diffusion_model, lora, lora_strength, shift),
            loading.load_text_encoder(
                folders.model_file("text_encoders", text_encoder), folders.embeddings()
            ),
            loading.load_vae(folders.model_file("vae", vae)),
            loading.load_audio_encoder(folders.model_file("audio_encoders", audio_encoder)),
        )


_shared_models = SharedLoader(_read_models, "s2v_models")
