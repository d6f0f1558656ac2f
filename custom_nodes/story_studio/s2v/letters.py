"""The letters that wav2vec2 reads from a recording, where the encoder's file still has its head for them.

ComfyUI loads the encoder without the head, `lm_head`, a linear layer after the last hidden state as in
transformers' Wav2Vec2ForCTC; so it is read from the same file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from ..core import wav2vec2
from ..media.alignment import VOCABULARIES, can_read
from ..media.alignment import align as find_words
from ..media.word_times import WordTimes, fit, level_of
from . import audio as s2v_audio
from .audio import HOP, RECEPTIVE_FIELD, SAMPLE_RATE

_WEIGHT, _BIAS = "lm_head.weight", "lm_head.bias"
_WINDOW, _CONTEXT = 40 * SAMPLE_RATE // HOP, 5 * SAMPLE_RATE // HOP
"""Features that are read at a time, and those on both sides that are computed as context only."""
FRAME_SECONDS = HOP / SAMPLE_RATE
"""From one feature to the next."""
_CENTRE = RECEPTIVE_FIELD / SAMPLE_RATE / 2
"""The middle of the sound that the first feature is made of, in seconds."""
_LEAST_CONFIDENCE = 0.05
"""Below this, the text is not what is said. In simulated readings of English with 30 % of the letters wrong,
texts have 0.08 or more, and other texts than what is said 0.02 at most."""


class Head(NamedTuple):
    """The layer that turns hidden states into letters.

    Attributes:
        weight: float32 [tokens, width].
        bias: float32 [tokens].
        vocabulary: the letters by their token, one of `VOCABULARIES`.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    vocabulary: str


def has_head(path: str | Path) -> bool:
    """Whether the file of an audio encoder has a head with a known vocabulary; reads only its header."""
    try:
        with safe_open(path, "pt") as file:
            names = {_WEIGHT, _BIAS} <= set(file.keys())
            return names and file.get_slice(_WEIGHT).get_shape()[0] in VOCABULARIES
    except (OSError, SafetensorError):
        # A file of another format, such as a pickle, is not searched.
        return False


def read_head(path: str | Path) -> Head:
    """The head in the file of an audio encoder; see `has_head`."""
    with safe_open(path, "pt") as file:
        weight, bias = (file.get_tensor(name).float() for name in (_WEIGHT, _BIAS))
    return Head(weight, bias, VOCABULARIES[len(weight)])


def align(
    words: Sequence[str],
    encoder: Any,
    head: Head,
    samples: torch.Tensor,
    sample_rate: int,
    progress: Callable[[float], None],
) -> WordTimes | None:
    """When words are said, by the letters that are read from their recording.

    Args:
        words: `spoken.words` of its text.
        encoder, head, samples, sample_rate, progress: see `log_probabilities`.

    Returns:
        None if the letters are not those of the words: they are in another script, or not what is said.
    """
    if not can_read(words, head.vocabulary):
        return None
    found = find_words(
        words, log_probabilities(encoder, head, samples, sample_rate, progress), head.vocabulary
    )
    if found is None or found.confidence < _LEAST_CONFIDENCE:
        return None
    level = level_of(samples.numpy(), sample_rate)
    moments = [span and _moments(*span) for span in found.spans]
    timed = fit(words, moments, level, samples.shape[-1] / sample_rate)
    return WordTimes(tuple(timed), "aligned", found.confidence)


def _moments(first: int, end: int) -> tuple[float, float]:
    """The middles of the sounds of a span's first and last frame, in seconds."""
    return first * FRAME_SECONDS + _CENTRE, (end - 1) * FRAME_SECONDS + _CENTRE


def log_probabilities(
    encoder: Any,
    head: Head,
    samples: torch.Tensor,
    sample_rate: int,
    progress: Callable[[float], None] = lambda done: None,
) -> np.ndarray:
    """How likely each letter is, every 20 ms.

    The recording is normalised as a whole, and read in windows of 40 seconds with five seconds of context on
    both sides, which bounds the memory.

    Args:
        encoder: ComfyUI's AUDIO_ENCODER, a wav2vec2 model.
        head: of the same file.
        samples: float [channels, samples].
        sample_rate: of `samples`, in Hz.
        progress: is called with the part that is done, 0 to 1.

    Returns:
        float32 [frames, tokens], natural logarithms; no frames for less than 25 ms.
    """
    mono = s2v_audio.resampled(samples, sample_rate)
    mean, deviation = s2v_audio.statistics(mono)
    count = max(0, s2v_audio.feature_count(len(mono)))
    found = np.zeros((count, len(head.bias)), np.float32)
    device = wav2vec2.load(encoder)
    weight, bias = head.weight.to(device), head.bias.to(device)
    for start in range(0, count, _WINDOW):
        end = min(start + _WINDOW, count)
        first, last = max(0, start - _CONTEXT), min(end + _CONTEXT, count)
        part = torch.from_numpy(mono[first * HOP : (last - 1) * HOP + RECEPTIVE_FIELD])
        features = s2v_audio.convolve(encoder, part.sub(mean).div(deviation).to(device))
        hidden = wav2vec2.last_hidden_state(encoder, features)[start - first : end - first].float()
        scores = torch.nn.functional.linear(hidden, weight, bias).log_softmax(dim=-1)
        found[start:end] = scores.cpu().numpy()
        progress(end / count)
    return found
