"""Pictures into latents and back: how a chunk continues the one before it, and the pictures that come of it.

A chunk continues the *motion*, 19 latents. Wan's VAE is causal: what a latent decodes to depends on those
before it. Each stands for four pictures, but the first one of a video for a single picture.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from typing import Any, Literal

import comfy.model_management
import torch

from . import timeline

Kind = Literal["reencode", "latent"]
"""What the next chunk continues: the last pictures, encoded again, or the last latents as they are."""

_STILL = 6
"""Pictures for which a clip that starts with the still has stood still."""
_TILE = 32
_TILE_OVERLAP = 8
"""In latents: what ComfyUI's own decode falls back to, 256 pixels a tile."""


def fit_pictures(pictures: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Pictures, an IMAGE [B, H, W, C], resized to cover the size and cropped to its centre.

    Returns:
        float [B, height, width, 3], 0 to 1.
    """
    source = pictures[:, :, :, :3].movedim(-1, 1).float()
    if source.shape[1] == 1:
        source = source.expand(-1, 3, -1, -1)
    scale = max(width / source.shape[3], height / source.shape[2])
    cover = (max(height, round(source.shape[2] * scale)), max(width, round(source.shape[3] * scale)))
    resized = torch.nn.functional.interpolate(source, size=cover, mode="bicubic", antialias=True)
    top, left = (cover[0] - height) // 2, (cover[1] - width) // 2
    return resized[:, :, top : top + height, left : left + width].clamp(0, 1).movedim(1, -1)


def require_video_vae(vae: Any) -> None:
    """Checks that a VAE is one of Wan 2.1's kind.

    Raises:
        ValueError: it is not; the message says what to load.
    """
    network = getattr(vae, "first_stage_model", None)
    parts = all(hasattr(network, name) for name in ("encoder", "decoder", "conv2"))
    if not parts or vae.latent_channels != 16 or vae.latent_dim != 3:
        raise ValueError(
            "This VAE cannot decode Wan2.2 S2V: load wan_2.1_vae.safetensors with Load VAE, or take the VAE "
            "from Wan2.2 S2V Models (the VAE of Wan2.2 5B and those for pictures do not fit)."
        )


class Continuity(ABC):
    """How the chunks of one clip follow each other.

    For each chunk in turn: ask for the `motion` it continues, sample it, and `decode` it to the end.
    """

    def __init__(self, vae: Any, reference: torch.Tensor) -> None:
        """`vae` is ComfyUI's, for Wan 2.1; `reference` [1, 16, 1, h, w] is the encoded picture."""
        self._vae = vae
        self._motion: torch.Tensor | None = None
        self._before = reference
        """The latents before the next chunk's own: the reference, later the motion."""
        self._unseen = reference
        """Those of them that the stream has yet to see."""
        self._stream: _Stream | None = _Stream(vae)
        """None once the memory has run out: then tiles are decoded, to the end of the clip."""

    def begin_with(self, picture: torch.Tensor) -> None:
        """The first chunk goes on from a picture [1, H, W, 3], as if it had stood still for a moment.

        As in the official code: of the 73 pictures of motion the last six are the picture, the others grey.
        """
        moment = [torch.full_like(picture, 0.5)] * (timeline.MOTION_PICTURES - _STILL) + [picture] * _STILL
        self._motion = self._before = self._unseen = self._vae.encode(torch.cat(moment))

    @abstractmethod
    def motion(self) -> torch.Tensor | None:
        """What the next chunk continues: float [1, 16, 19, h, w]; None if the clip just begins.

        Ask only if a chunk follows, and before it is sampled: the work for it is done here, and memory on
        the VAE's device is released for the sampling.
        """

    def decode(self, latents: torch.Tensor, chunk: timeline.Chunk) -> Iterator[torch.Tensor]:
        """The pictures that a chunk adds to the clip, a few at a time, as soon as they are decoded.

        Args:
            latents: the chunk's own, float [1, 16, 20, h, w]; those it does not need are left out.
            chunk: what to keep.

        Yields:
            float [n, 8 * h, 8 * w, 3], 0 to 1, on the CPU; `chunk.keep` pictures in all.
        """
        place = -chunk.drop
        for pictures in self._pictures(latents[:, :, : chunk.latents]):
            yield pictures[max(0, -place) : chunk.keep - place].cpu()
            place += len(pictures)

    def _pictures(self, latents: torch.Tensor) -> Iterator[torch.Tensor]:
        """The four pictures of each latent, in order, on the VAE's output device."""
        done = 0
        if self._stream:
            try:
                for pictures in self._stream.decode(self._unseen, latents):
                    done += len(pictures)
                    yield pictures
            except comfy.model_management.OOM_EXCEPTION:
                logging.warning("Out of memory while decoding: going on in tiles, which takes longer.")
                self._stream = None
        # Not where the exception is caught: it holds on to the memory that the failed attempt took.
        if not self._stream:
            comfy.model_management.soft_empty_cache()
            yield self._tiles(latents)[done:]

    def _tiles(self, latents: torch.Tensor) -> torch.Tensor:
        # A tile starts without a memory of the chunks before, so it is given the latents before instead.
        pictures = self._vae.decode_tiled(
            torch.cat([self._before, latents], dim=2), tile_x=_TILE, tile_y=_TILE, overlap=_TILE_OVERLAP
        )
        return pictures[0, -4 * latents.shape[2] :]


class Reencode(Continuity):
    """As the official pipeline: the last 73 pictures, encoded again, are all that a chunk leaves behind.

    The motion is what the model was trained on, the latents of a video that starts there. Each chunk costs
    39 latents to decode, 19 of them only for the decoder to remember, and 73 pictures to encode.
    """

    def __init__(self, vae: Any, reference: torch.Tensor) -> None:
        super().__init__(vae, reference)
        self._last: deque[torch.Tensor] = deque(maxlen=timeline.MOTION_PICTURES)

    def decode(self, latents: torch.Tensor, chunk: timeline.Chunk) -> Iterator[torch.Tensor]:
        for pictures in super().decode(latents, chunk):
            self._last.extend(pictures)
            yield pictures

    def motion(self) -> torch.Tensor | None:
        if self._last:
            if self._stream:
                self._stream.forget()
            pictures = torch.stack(tuple(self._last))
            self._last.clear()
            self._motion = self._before = self._unseen = self._vae.encode(pictures)
        return self._motion


class Latent(Continuity):
    """The last 19 latents are the motion, and the decoder goes on where it stopped.

    The clip comes out exactly as if all its latents were decoded in one go. Each chunk costs 20 latents to
    decode and nothing to encode; between chunks the decoder's memory waits on the CPU.
    """

    def decode(self, latents: torch.Tensor, chunk: timeline.Chunk) -> Iterator[torch.Tensor]:
        yield from super().decode(latents, chunk)
        self._motion = self._before = latents[:, :, -timeline.MOTION_LATENTS :]
        self._unseen = latents[:, :, :0]

    def motion(self) -> torch.Tensor | None:
        if self._stream:
            self._stream.offload()
        return self._motion


def make(kind: Kind, vae: Any, reference: torch.Tensor) -> Continuity:
    """The continuity for one clip; see its classes for what each costs.

    Args:
        kind: "reencode" or "latent".
        vae: ComfyUI's VAE, for Wan 2.1.
        reference: the encoded picture, float [1, 16, 1, h, w].
    """
    return {"reencode": Reencode, "latent": Latent}[kind](vae, reference)


class _Stream:
    """Wan's decoder, latent by latent: whole videos at the memory of one latent."""

    def __init__(self, vae: Any) -> None:
        self._vae = vae
        self.forget()

    def forget(self) -> None:
        """The next latent is the first one of a video."""
        # Each causal convolution keeps what it saw last in an entry; there are fewer of them than modules.
        self._seen: list[Any] = [None for _ in self._vae.first_stage_model.decoder.modules()]

    def offload(self) -> None:
        """Moves what the decoder remembers off its device, until the next latent."""
        self._move(self._vae.patcher.offload_device)

    def decode(self, silent: torch.Tensor, latents: torch.Tensor) -> Iterator[torch.Tensor]:
        """Goes on with `silent`, of which no pictures are wanted, and then with `latents`.

        Args:
            silent: float [1, 16, n, h, w], n from 0; not 0 if this is the start.
            latents: float [1, 16, n, h, w].

        Yields:
            float [4, 8 * h, 8 * w, 3], 0 to 1, on the VAE's output device, for each of `latents`.
        """
        vae = self._vae
        comfy.model_management.load_models_gpu(
            [vae.patcher],
            memory_required=vae.memory_used_decode(latents.shape, vae.vae_dtype),
            force_full_load=vae.disable_offload,
        )
        self._move(vae.device)
        for index in range(silent.shape[2]):
            self._next(silent, index)
        for index in range(latents.shape[2]):
            pictures = self._next(latents, index).to(vae.output_device).float()
            yield vae.process_output(pictures)[0].movedim(0, -1)

    def _next(self, latents: torch.Tensor, index: int) -> torch.Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        network, vae = self._vae.first_stage_model, self._vae
        mixed = network.conv2(latents[:, :, index : index + 1].to(vae.device, vae.vae_dtype))
        return network.decoder(mixed, feat_cache=self._seen, feat_idx=[0])

    def _move(self, device: torch.device) -> None:
        self._seen = [seen.to(device) if isinstance(seen, torch.Tensor) else seen for seen in self._seen]
