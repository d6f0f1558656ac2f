"""wav2vec2 in parts: ComfyUI's own forward normalises what it is given, which must be the whole recording."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import torch


def output_shape(encoder: Any) -> tuple[int, int] | None:
    """Layers and width of the features of an AUDIO_ENCODER; None if it is no wav2vec2."""
    # Imported when used: in a ComfyUI without it the other nodes work.
    from comfy.audio_encoders.wav2vec2 import Wav2Vec2Model

    model = getattr(encoder, "model", None)
    if not isinstance(model, Wav2Vec2Model):
        return None
    return len(model.encoder.layers) + 1, model.feature_projection.projection.out_features


def load(encoder: Any) -> torch.device:
    """Loads an AUDIO_ENCODER onto its device, which is given back."""
    comfy.model_management.load_model_gpu(encoder.patcher)
    return encoder.load_device


def local_features(encoder: Any, samples: torch.Tensor) -> torch.Tensor:
    """What the convolutions make of samples [n], on the encoder's device: [1, features, 512]."""
    return encoder.model.feature_extractor(samples.unsqueeze(0))


def hidden_states(encoder: Any, features: torch.Tensor) -> torch.Tensor:
    """The output of every layer for the convolutions' features [1, n, 512]: [layers, n, width]."""
    _, layers = encoder.model.encoder(encoder.model.feature_projection(features))
    return torch.cat(layers)
