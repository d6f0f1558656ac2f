"""What is linked into a talking video, checked before any sampling."""

from __future__ import annotations

from typing import Any

import torch

from ..core import wan_model, wan_vae, wav2vec2


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
    is_s2v = wan_model.is_s2v(model)
    if not is_s2v:
        kind = type(getattr(model, "model", model)).__name__
        problems.append(f"model is {kind} and not Wan2.2 S2V: link the MODEL of Wan2.2 S2V Models.")
    if is_s2v and turbo and not model.patches:
        problems.append("preset turbo needs the 4-step LoRA: choose it as lora in Wan2.2 S2V Models.")
    try:
        wan_vae.require_video_vae(vae)
    except ValueError as error:
        problems.append(str(error))
    heard = wav2vec2.output_shape(encoder)
    if heard is None or (is_s2v and heard != wan_model.audio_shape(model)):
        problems.append("audio_encoder is not the wav2vec2 of this model: use wav2vec2_large_english_fp16.")
    if is_s2v:
        problems += [
            f"{name} was not encoded with umt5: link a CLIPTextEncode with the CLIP of Wan2.2 S2V Models."
            for name, conditioning in (("positive", positive), ("negative", negative))
            if not conditioning or conditioning[0][0].shape[-1] != wan_model.text_width(model)
        ]
    if audio is None:
        problems.append("audio is missing: the video or file that it comes from has no sound.")
    if image is None or image.ndim != 4 or 0 in image.shape:
        problems.append("image is empty: link one picture.")
    if problems:
        raise ValueError("Talking Video cannot start. " + " ".join(problems))
