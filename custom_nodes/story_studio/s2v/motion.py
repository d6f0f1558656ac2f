"""Pictures into latents and back: how a chunk continues the one before it, and the pictures that come of it.

A chunk continues the *motion*, 19 latents. Wan's VAE is causal: what a latent decodes to depends on those
before it. Each stands for four pictures, but the first one of a video for a single picture.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch

from ..core import fit, memory, wan_vae
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
        self._stream = wan_vae.StreamedDecoder(vae)
        self._redecode: Callable[[torch.Tensor], torch.Tensor] | None = None
        """What decodes to the end of the clip where the stream could not."""
        if not fit.can_stream_decode():
            self._redecode = vae.decode

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
        if self._redecode is None:
            try:
                for pictures in self._stream.decode(self._unseen, latents):
                    done += len(pictures)
                    yield pictures
            except wan_vae.DecoderChanged as change:
                fit.log_changed_decoder(str(change))
                self._redecode = self._vae.decode
            except Exception as error:
                if not memory.is_out_of_memory(error):
                    raise
                logging.warning("Out of memory while decoding: going on in tiles, which takes longer.")
                self._redecode = self._decode_tiles
        # Not where the exception is caught: it holds on to the memory that the failed attempt took.
        if self._redecode:
            self._stream.forget()
            memory.release_cache()
            # Without a memory of the chunks before, the decoder is given the latents before instead.
            pictures = self._redecode(torch.cat([self._before, latents], dim=2))[0]
            yield pictures[-4 * latents.shape[2] :][done:]

    def _decode_tiles(self, latents: torch.Tensor) -> torch.Tensor:
        return self._vae.decode_tiled(latents, tile_x=_TILE, tile_y=_TILE, overlap=_TILE_OVERLAP)


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
