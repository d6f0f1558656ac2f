"""wav2vec2 in parts, because ComfyUI's own forward normalises its input and so needs the whole audio."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import torch


def output_shape(encoder: Any) -> tuple[int, int] | None:
    """Layers and width of the features of an AUDIO_ENCODER; None if it is not a wav2vec2."""
    # Imported here so that the other nodes work in a ComfyUI without it.
    from comfy.audio_encoders.wav2vec2 import Wav2Vec2Model

    model = getattr(encoder, "model", None)
    if not isinstance(model, Wav2Vec2Model):
        return None
    return len(model.encoder.layers) + 1, model.feature_projection.projection.out_features


def load(encoder: Any) -> torch.device:
    """Loads an AUDIO_ENCODER onto its device, and returns the device."""
    comfy.model_management.load_model_gpu(encoder.patcher)
    return encoder.load_device


def local_features(encoder: Any, samples: torch.Tensor) -> torch.Tensor:
    """The output of the convolutions, [1, features, 512], for samples [n] on the encoder's device."""
    return encoder.model.feature_extractor(samples.unsqueeze(0))


def hidden_states(encoder: Any, features: torch.Tensor) -> torch.Tensor:
    """The output of all layers, [layers, n, width], for the convolutions' output [1, n, 512]."""
    _, layers = encoder.model.encoder(encoder.model.feature_projection(features))
    return torch.cat(layers)


def last_hidden_state(encoder: Any, features: torch.Tensor) -> torch.Tensor:
    """What a head for letters takes, the normed output of the last layer [n, width], for those [1, n, 512].

    As `last_hidden_state` of transformers' Wav2Vec2Model.
    """
    return encoder.model.encoder(encoder.model.feature_projection(features))[0][0]
