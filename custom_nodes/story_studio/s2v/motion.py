"""Encoding and decoding around the sampler: how a chunk continues the previous one, and its frames.

A chunk continues the *motion*, 19 latents. Wan's VAE is causal: how a latent decodes depends on the latents
before it. The first latent of a video decodes to one frame, every other latent to four.
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
"""What the next chunk continues: the last frames, encoded again, or the last latents unchanged."""

_START_IMAGE_FRAMES = 6
"""Motion frames that show the reference image in a clip that starts with it."""
_TILE_LATENTS = 32
_TILE_OVERLAP_LATENTS = 8
"""ComfyUI falls back to tiles of the same size, 256 pixels, in its own decode."""


def fit_images(images: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Scales an IMAGE [B, H, W, C] to cover `width` x `height` pixels and crops its centre.

    The filter, the rounding of the scaled size and the place of the crop are those of the official pipeline,
    torchvision's Resize and CenterCrop. The pixels differ from its own by 0.3 % because it rounds them to 8
    bits; with a bicubic filter it would be 3 %, and 10 % with a crop that is off by one pixel. Unlike there,
    an image is always scaled to cover the frame: the official one scales the image's shorter side to the
    frame's, which leaves bars of black at the ends of a frame that is longer than the image.

    Returns:
        float [B, height, width, 3], 0 to 1.
    """
    source = images[:, :, :, :3].movedim(-1, 1).float()
    if source.shape[1] == 1:
        source = source.expand(-1, 3, -1, -1)
    source = _without_far_ends(source, width, height)
    rows, columns = source.shape[2:]
    cover = (max(height, rows * width // columns), max(width, columns * height // rows))
    cover = (cover[0], width) if rows * width >= columns * height else (height, cover[1])
    resized = torch.nn.functional.interpolate(source, size=cover, mode="bilinear", antialias=True)
    # Like CenterCrop, half a pixel is rounded to the even one.
    top, left = round((cover[0] - height) / 2), round((cover[1] - width) / 2)
    return resized[:, :, top : top + height, left : left + width].clamp(0, 1).movedim(1, -1)


def _without_far_ends(source: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Crops a very narrow image to twice what will show: scaled as a whole, it could fill the memory."""
    rows, columns = source.shape[2:]
    down, across = min(rows, 2 * -(-columns * height // width)), min(columns, 2 * -(-rows * width // height))
    top, left = (rows - down) // 2, (columns - across) // 2
    return source[:, :, top : top + down, left : left + across]


class Continuity(ABC):
    """How the chunks of one clip continue each other.

    For each chunk in order: get its `motion`, sample it, and exhaust `decode`.
    """

    def __init__(self, vae: Any, reference: torch.Tensor) -> None:
        """`vae` is ComfyUI's, for Wan 2.1; `reference` is the encoded image, [1, 16, 1, h, w]."""
        self._vae = vae
        self._motion: torch.Tensor | None = None
        self._context = reference
        """The latents that precede the next chunk's own: the reference, later the motion."""
        self._context_to_stream = reference
        """Those of them that the streamed decoder has not seen yet."""
        self._stream = wan_vae.StreamedDecoder(vae)
        self._redecode: Callable[[torch.Tensor], torch.Tensor] | None = None
        """The decode for the rest of the clip once streaming has failed."""
        if not fit.can_stream_decode():
            self._redecode = vae.decode

    def start_from_image(self, image: torch.Tensor) -> None:
        """Makes the first chunk continue an image [1, H, W, 3].

        As in the official code, the last six of the 73 motion frames are the image and the others are grey.
        """
        grey = [torch.full_like(image, 0.5)] * (timeline.MOTION_FRAMES - _START_IMAGE_FRAMES)
        frames = torch.cat(grey + [image] * _START_IMAGE_FRAMES)
        self._motion = self._context = self._context_to_stream = wan_vae.encode(self._vae, frames)

    @abstractmethod
    def motion(self) -> torch.Tensor | None:
        """What the next chunk continues: float [1, 16, 19, h, w], or None for the first chunk.

        Call it once before each chunk is sampled and not after the last one: it does the encoding, and frees
        memory on the VAE's device.
        """

    def decode(self, latents: torch.Tensor, chunk: timeline.Chunk) -> Iterator[torch.Tensor]:
        """The frames that a chunk adds to the clip, a few at a time, as they are decoded.

        Args:
            latents: the chunk's own, float [1, 16, 20, h, w]; latents after the clip's end are not decoded.
            chunk: which frames to keep.

        Yields:
            float [n, 8 * h, 8 * w, 3], 0 to 1, on the CPU; `chunk.keep` frames in all.
        """
        position = -chunk.drop
        for frames in self._decoded(latents[:, :, : chunk.latents]):
            yield frames[max(0, -position) : chunk.keep - position].cpu()
            position += len(frames)

    def _decoded(self, latents: torch.Tensor) -> Iterator[torch.Tensor]:
        """Four frames for each latent, in order, on the VAE's output device."""
        done = 0
        if self._redecode is None:
            try:
                for frames in self._stream.decode(self._context_to_stream, latents):
                    done += len(frames)
                    yield frames
            except wan_vae.DecoderChanged as change:
                fit.log_changed_decoder(str(change))
                self._redecode = self._vae.decode
            except Exception as error:
                if not memory.is_out_of_memory(error):
                    raise
                logging.warning("Out of memory while decoding: continuing in tiles, which is slower.")
                self._redecode = self._decode_tiles
        # Outside the handler, because the exception keeps the failed attempt's memory alive.
        if self._redecode:
            self._stream.reset()
            memory.release_cache()
            # The decoder has no state left, so the context is decoded again with the chunk.
            frames = self._redecode(torch.cat([self._context, latents], dim=2))[0]
            yield frames[-4 * latents.shape[2] :][done:]

    def _decode_tiles(self, latents: torch.Tensor) -> torch.Tensor:
        return self._vae.decode_tiled(
            latents, tile_x=_TILE_LATENTS, tile_y=_TILE_LATENTS, overlap=_TILE_OVERLAP_LATENTS
        )


class Reencode(Continuity):
    """As in the official pipeline, each chunk continues the last 73 frames, encoded again.

    The motion is then what the model was trained on: latents of a video that starts with these frames. A
    chunk costs 20 latents to decode, a third of the work for the 19 before them, which are only context for
    the decoder, and 73 frames to encode: in all nearly twice the work of the 20 latents alone.
    """

    def __init__(self, vae: Any, reference: torch.Tensor) -> None:
        super().__init__(vae, reference)
        self._last_frames: deque[torch.Tensor] = deque(maxlen=timeline.MOTION_FRAMES)

    def decode(self, latents: torch.Tensor, chunk: timeline.Chunk) -> Iterator[torch.Tensor]:
        for frames in super().decode(latents, chunk):
            self._last_frames.extend(frames)
            yield frames

    def motion(self) -> torch.Tensor | None:
        if self._last_frames:
            self._stream.reset()
            frames = torch.stack(tuple(self._last_frames))
            self._last_frames.clear()
            self._motion = self._context = self._context_to_stream = wan_vae.encode(self._vae, frames)
        return self._motion


class Latent(Continuity):
    """Each chunk continues the last 19 latents, and the decoder keeps its state.

    The clip equals a single decode of all its latents. A chunk costs 20 latents to decode and nothing to
    encode; the decoder's state is kept on the CPU while a chunk is sampled.
    """

    def decode(self, latents: torch.Tensor, chunk: timeline.Chunk) -> Iterator[torch.Tensor]:
        yield from super().decode(latents, chunk)
        self._motion = self._context = latents[:, :, -timeline.MOTION_LATENTS :]
        self._context_to_stream = latents[:, :, :0]

    def motion(self) -> torch.Tensor | None:
        self._stream.offload()
        return self._motion


def make_continuity(kind: Kind, vae: Any, reference: torch.Tensor) -> Continuity:
    """The continuity for one clip; its classes say what each costs.

    Args:
        kind: "reencode" or "latent".
        vae: ComfyUI's VAE, for Wan 2.1.
        reference: the encoded image, float [1, 16, 1, h, w].
    """
    return {"reencode": Reencode, "latent": Latent}[kind](vae, reference)
