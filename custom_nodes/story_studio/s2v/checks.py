"""Validation of everything linked to a talking video, before any sampling."""

from __future__ import annotations

from typing import Any

import torch

from ..core import wan_model, wan_vae, wav2vec2


def check_inputs(
    model: Any,
    positive: list,
    negative: list,
    vae: Any,
    encoder: Any,
    audio: Any,
    image: torch.Tensor,
    turbo: bool = False,
    pose_video: torch.Tensor | None = None,
) -> None:
    """Checks that all inputs belong to Wan2.2 S2V and match each other.

    Args:
        model, positive, negative, vae, encoder, audio, image: ComfyUI's MODEL, CONDITIONING, VAE,
            AUDIO_ENCODER, AUDIO and IMAGE.
        turbo: whether the model needs a few-step LoRA.
        pose_video: an IMAGE that the body follows, if one is linked.

    Raises:
        ValueError: one sentence for each input that does not fit, saying what to link instead.
    """
    problems = [*_model_problems(model, turbo), *_encoder_problems(model, positive, negative, vae, encoder)]
    if audio is None:
        problems.append("audio is missing: the file it comes from has no audio track.")
    if image is None or image.ndim != 4 or 0 in image.shape:
        problems.append("image is empty: link an image.")
    if pose_video is not None and (pose_video.ndim != 4 or 0 in pose_video.shape):
        problems.append("pose_video has no frames: link the frames of a video, or nothing.")
    if problems:
        raise ValueError("Talking Video cannot start. " + " ".join(problems))


def _model_problems(model: Any, turbo: bool) -> list[str]:
    if not wan_model.is_s2v(model):
        kind = type(getattr(model, "model", model)).__name__
        return [f"model is {kind}, not Wan2.2 S2V: link the model output of Wan2.2 S2V Models."]
    if turbo and not model.patches:
        return ["preset turbo needs the 4-step LoRA: choose it as lora in Wan2.2 S2V Models."]
    return []


def _encoder_problems(model: Any, positive: list, negative: list, vae: Any, encoder: Any) -> list[str]:
    problems = []
    is_s2v = wan_model.is_s2v(model)
    try:
        wan_vae.require_video_vae(vae)
    except ValueError as error:
        problems.append(str(error))
    shape = wav2vec2.output_shape(encoder)
    if shape is None or (is_s2v and shape != wan_model.audio_shape(model)):
        problems.append("audio_encoder does not fit the model: load wav2vec2_large_english_fp16.")
    if is_s2v:
        problems += [
            f"{name} was not encoded with umt5: link the CLIP of Wan2.2 S2V Models to its CLIP Text Encode."
            for name, conditioning in (("positive", positive), ("negative", negative))
            if not conditioning or conditioning[0][0].shape[-1] != wan_model.text_width(model)
        ]
    return problems
