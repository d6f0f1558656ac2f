"""The chunk loop: turns audio features and an image into frames, chunk by chunk, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from ..core import sampling, wan_model
from . import motion, patches, pose, timeline, unipc

TEXT_TOKENS = 512
"""Prompt tokens that the model uses; ComfyUI's text encoder does not limit them."""

OnStep = Callable[[int, int, torch.Tensor | None], None]
"""Called after each step with the chunk's index, the steps done in it, and the denoised latents.

Called once more when the chunk's frames are decoded, with `steps + 1` and None."""

OnState = Callable[[int, str], None]
"""Called with a chunk's index and what is done for it besides steps, such as "decoding frames 40 of 120"."""


def _ignore(chunk: int, state: str) -> None:
    """Shows nobody what is done."""


@dataclass(frozen=True)
class Settings:
    """How a clip is sampled.

    Attributes:
        steps: sampling steps for each chunk.
        cfg: guidance scale; at 1 the negative prompt is not used.
        seed: seed of chunk 0.
        continuity: what a chunk continues; see `motion.Reencode` and `motion.Latent`.
        start_with_image: whether the first frame is the reference image.
    """

    steps: int
    cfg: float
    seed: int
    continuity: motion.Kind = "reencode"
    start_with_image: bool = False

    @property
    def lead_in(self) -> int:
        """Frames of silence before the audio."""
        return timeline.START_IMAGE_LEAD_IN_FRAMES if self.start_with_image else timeline.LEAD_IN_FRAMES


def sigmas(steps: int, shift: float) -> torch.Tensor:
    """Noise levels of the official flow-matching schedule, [steps + 1], from just below 1 down to 0.

    sigma = shift * b / (1 + (shift - 1) * b) for b in linspace(0.999, 0, steps + 1) without its last value,
    then 0.
    """
    base = torch.linspace(0.999, 0, steps + 1)[:-1]
    return torch.cat([shift * base / (1 + (shift - 1) * base), torch.zeros(1)])


def sample_clip(
    model: Any,
    positive: list,
    negative: list,
    vae: Any,
    audio_features: Iterable[torch.Tensor],
    image: torch.Tensor,
    frames: int,
    settings: Settings,
    on_step: OnStep,
    pose_video: torch.Tensor | None = None,
    on_state: OnState = _ignore,
) -> Iterator[torch.Tensor]:
    """Samples and decodes a clip, chunk by chunk.

    Args:
        model, positive, negative, vae: ComfyUI's MODEL, CONDITIONING and VAE.
        audio_features: float [1, layers, dimensions, 80] for each chunk, from `audio.encode_audio`.
        image: the reference image, float [1, height, width, 3], 0 to 1, both sides multiples of 64.
        frames: length of the clip.
        settings: steps, guidance, seed and continuity.
        on_step: see `OnStep`.
        pose_video: float [N, H, W, 3] at 16 frames a second, which the body follows.
        on_state: see `OnState`.

    Yields:
        float [n, height, width, 3], 0 to 1, on the CPU; `frames` frames in all.
    """
    model = patches.patch_to_official(model)
    positive, negative = _limit_tokens(positive), _limit_tokens(negative)
    on_state(0, "encoding the image and the voice")
    height, width = image.shape[1:3]
    decoded = 0
    empty = torch.zeros([1, 16, timeline.CHUNK_LATENTS, height // 8, width // 8])
    reference = vae.encode(image)
    # Zeros instead of no control at all: the official model adds the convolution's bias in either case.
    no_control = sampling.to_latents(empty)
    control = None
    if pose_video is not None:
        control = pose.PoseControl(vae, pose_video, settings.lead_in, (width, height))
    continuity = motion.make_continuity(settings.continuity, vae, reference)
    if settings.start_with_image:
        continuity.start_from_image(image)
        decoded = 1
        yield image.cpu()
    for chunk, features in zip(timeline.chunks(frames, settings.lead_in), audio_features, strict=True):
        conditions: dict[str, Any] = {"reference_latents": [reference], "control_video": no_control}
        if control is not None:
            conditions["control_video"] = control.latents(chunk.start)
        if chunk.index:
            on_state(chunk.index, "encoding the last frames")
        if (previous := continuity.motion()) is not None:
            conditions["reference_motion"] = previous
        latents = _sample_chunk(
            model,
            sampling.condition(positive, {**conditions, "audio_embed": features}),
            sampling.condition(negative, {**conditions, "audio_embed": torch.zeros_like(features)}),
            empty,
            settings,
            chunk.index,
            on_step,
        )
        for part in continuity.decode(latents, chunk):
            decoded += len(part)
            on_state(chunk.index, f"decoding frames {decoded} of {frames}")
            yield part
        on_step(chunk.index, settings.steps + 1, None)


def _limit_tokens(conditioning: list) -> list:
    return [[tokens[:, :TEXT_TOKENS], *rest] for tokens, *rest in conditioning]


def _sample_chunk(
    model: Any,
    positive: list,
    negative: list,
    empty: torch.Tensor,
    settings: Settings,
    index: int,
    on_step: OnStep,
) -> torch.Tensor:
    return sampling.sample(
        model,
        positive,
        negative,
        empty,
        unipc.sampler(),
        sigmas(settings.steps, wan_model.shift(model)),
        settings.cfg,
        (settings.seed + index) % 2**64,
        lambda step, denoised: on_step(index, step, denoised),
    )
