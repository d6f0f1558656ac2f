"""The chunk loop: a recording and a picture become pictures, chunk by chunk, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from ..core import sampling, wan_model
from . import motion, patches, pose, timeline, unipc

TEXT_TOKENS = 512
"""Tokens of a prompt that the model reads; ComfyUI's encoder would pass on more."""

OnStep = Callable[[int, int, torch.Tensor | None], None]
"""Called after each step with the chunk's index, the steps done in it, and the current picture latents.

When the chunk's pictures are decoded it is called once more, with one step more and no latents."""


@dataclass(frozen=True)
class Settings:
    """How a clip is sampled: steps and cfg from 1 (no negative prompt), and the seed of chunk 0.

    `continuity` is what a chunk continues: `motion.Reencode` and `motion.Latent` say what each costs. With
    `start_with_picture` the picture itself is the clip's first.
    """

    steps: int
    cfg: float
    seed: int
    continuity: motion.Kind = "reencode"
    start_with_picture: bool = False

    @property
    def lead(self) -> int:
        """Pictures of silence before the sound."""
        return timeline.LATE if self.start_with_picture else timeline.LEAD


def sigmas(steps: int, shift: float) -> torch.Tensor:
    """Noise levels of the official flow schedule, [steps + 1], from about 1 down to 0.

    b = linspace(0.999, 0, steps + 1) without its end; sigma = shift * b / (1 + (shift - 1) * b), then 0.
    """
    base = torch.linspace(0.999, 0, steps + 1)[:-1]
    return torch.cat([shift * base / (1 + (shift - 1) * base), torch.zeros(1)])


def talk(
    model: Any,
    positive: list,
    negative: list,
    vae: Any,
    heard: Iterable[torch.Tensor],
    picture: torch.Tensor,
    frames: int,
    settings: Settings,
    on_step: OnStep,
    pose_video: torch.Tensor | None = None,
) -> Iterator[torch.Tensor]:
    """Samples and decodes a clip, chunk by chunk.

    Args:
        model, positive, negative, vae: ComfyUI's MODEL, CONDITIONING and VAE.
        heard: what the pictures of each chunk hear, float [1, layers, dimensions, 80], from `audio.hear`.
        picture: float [1, height, width, 3], sides multiples of 64.
        frames: pictures of the clip.
        settings: steps, guidance, seed and continuity.
        on_step: see `OnStep`.
        pose_video: float [N, H, W, 3] at 16 pictures a second, what the body follows.

    Yields:
        float [n, height, width, 3] pictures, 0 to 1, on the CPU; `frames` in all.
    """
    model = patches.faithful(model)
    positive, negative = _cut(positive), _cut(negative)
    height, width = picture.shape[1:3]
    empty = torch.zeros([1, 16, timeline.LATENTS, height // 8, width // 8])
    reference = vae.encode(picture)
    # Without control the official model still adds the convolution's bias, so zeros are given, not nothing.
    free = sampling.to_latents(empty)
    continuity = motion.make(settings.continuity, vae, reference)
    if settings.start_with_picture:
        continuity.begin_with(picture)
        yield picture.cpu()
    for chunk, sound in zip(timeline.chunks(frames, settings.lead), heard, strict=True):
        given: dict[str, Any] = {"reference_latents": [reference], "control_video": free}
        if pose_video is not None:
            followed = pose.control(vae, pose_video, chunk.start, settings.lead, (width, height))
            given["control_video"] = free if followed is None else followed
        if (continued := continuity.motion()) is not None:
            given["reference_motion"] = continued
        latents = _sample_chunk(
            model,
            sampling.condition(positive, {**given, "audio_embed": sound}),
            sampling.condition(negative, {**given, "audio_embed": torch.zeros_like(sound)}),
            empty,
            settings,
            chunk.index,
            on_step,
        )
        yield from continuity.decode(latents, chunk)
        on_step(chunk.index, settings.steps + 1, None)


def _cut(conditioning: list) -> list:
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
