"""What is linked into a talking video, checked before any sampling."""

from __future__ import annotations

from typing import Any

import comfy.model_base
import torch
from comfy.audio_encoders.wav2vec2 import Wav2Vec2Model

from . import motion


def check_sockets(
    model: Any,
    positive: list,
    negative: list,
    vae: Any,
    encoder: Any,
    audio: Any,
    image: torch.Tensor,
    turbo: bool = False,
) -> None:
    """Whether all parts belong to Wan2.2 S2V and to each other.

    Args:
        model, positive, negative, vae, encoder, audio, image: as ComfyUI's MODEL, CONDITIONING, VAE,
            AUDIO_ENCODER, AUDIO and IMAGE.
        turbo: whether the model is to be one with a few-step LoRA.

    Raises:
        ValueError: everything that does not, a sentence each, with what to link instead.
    """
    problems = []
    network: Any = getattr(getattr(model, "model", None), "diffusion_model", None)
    is_s2v = isinstance(getattr(model, "model", None), comfy.model_base.WAN22_S2V)
    if not is_s2v:
        kind = type(getattr(model, "model", model)).__name__
        problems.append(f"model is {kind} and not Wan2.2 S2V: link the MODEL of Wan2.2 S2V Models.")
    if is_s2v and turbo and not model.patches:
        problems.append("preset turbo needs the 4-step LoRA: choose it as lora in Wan2.2 S2V Models.")
    try:
        motion.require_video_vae(vae)
    except ValueError as error:
        problems.append(str(error))
    listens = isinstance(getattr(encoder, "model", None), Wav2Vec2Model)
    if not listens or (is_s2v and not _layers_fit(encoder.model, network)):
        problems.append("audio_encoder is not the wav2vec2 of this model: use wav2vec2_large_english_fp16.")
    if is_s2v:
        problems += [
            f"{name} was not encoded with umt5: link a CLIPTextEncode with the CLIP of Wan2.2 S2V Models."
            for name, conditioning in (("positive", positive), ("negative", negative))
            if not conditioning or conditioning[0][0].shape[-1] != network.text_dim
        ]
    if audio is None:
        problems.append("audio is missing: the video or file that it comes from has no sound.")
    if image is None or image.ndim != 4 or 0 in image.shape:
        problems.append("image is empty: link one picture.")
    if problems:
        raise ValueError("Talking Video cannot start. " + " ".join(problems))


def _layers_fit(encoder: Wav2Vec2Model, network: Any) -> bool:
    layers, width = len(encoder.encoder.layers) + 1, encoder.feature_projection.projection.out_features
    listener = network.casual_audio_encoder
    return listener.weights.shape[1] == layers and listener.encoder.conv1_local.conv.in_channels == width
