"""The arithmetic of a talking video: sizes, chunks, and which picture hears which sound.

Everything here is exact integer arithmetic. A *picture* is a frame of the clip, a *latent* stands for four of
them, and a *chunk* is what the model makes in one go. The model drops its first three pictures, so the sound
is led in by three pictures of silence: picture i of the clip then hears the recording at i / 16 s. A clip
that starts with the still itself has that as its first picture and drops none: its sound starts one picture
late.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

FPS = 16
PICTURES = 80
"""Pictures in a chunk."""
LATENTS = 20
"""Latents in a chunk: four pictures each."""
LEAD = 3
"""Pictures that the first chunk drops, and pictures of silence before the sound."""
LATE = -1
"""The lead of a clip whose first picture is the still: its sound starts with the second."""
MOTION_PICTURES = 73
"""Last pictures of a chunk that the next one continues from: 1 + 4 * (19 - 1)."""
MOTION_LATENTS = 19
GRID = 64
"""Both sides of a clip are multiples of this: the motion packer drops the rest of any other size."""


@dataclass(frozen=True)
class Chunk:
    """One run of the model.

    Attributes:
        index: 0 for the first chunk; its seed is `seed + index`.
        start: first picture of the led-in sound that it hears.
        latents: how many of its latents need decoding, 1 to 20; the last chunk needs fewer.
        drop: leading pictures of what is decoded that do not belong to the clip.
        keep: pictures that it adds to the clip, 1 to 80.
    """

    index: int
    start: int
    latents: int
    drop: int
    keep: int


def frame_count(samples: int, sample_rate: int) -> int:
    """Pictures that a recording needs: ceil(16 * samples / sample_rate), so no sound is cut."""
    return -(-samples * FPS // sample_rate)


def chunk_count(frames: int, lead: int = LEAD) -> int:
    """Chunks that a clip of `frames` pictures needs: ceil((frames + lead) / 80); `lead` is LEAD or LATE."""
    return -(-(frames + lead) // PICTURES)


def chunks(frames: int, lead: int = LEAD) -> Iterator[Chunk]:
    """The chunks of a clip of `frames` pictures, in order.

    Their `keep` adds up to `frames`, or one less if `lead` is LATE and the first picture is the still.
    """
    for index in range(chunk_count(frames, lead)):
        start = index * PICTURES
        drop = max(0, lead) if index == 0 else 0
        keep = min(PICTURES - drop, frames + lead - start - drop)
        yield Chunk(index, start, -(-(keep + drop) // 4), drop, keep)


def fit_size(width: int, height: int, area: int) -> tuple[int, int]:
    """The size of a clip of a `width` x `height` picture, in pixels.

    As the official pipeline: the picture is scaled down (never up) as little as makes both sides, rounded up
    to multiples of 64, cover at most `area` pixels. 16:9 at 832 * 480 gives 832 x 448, 1:1 gives 576 x 576.

    Raises:
        ValueError: `area` holds not even a strip of 64 pixels of this picture's shape.
    """
    scales = [(width, width)] if width <= height else [(height, height)]
    scales += [(GRID * k, side) for side in (width, height) for k in range(side // GRID, 0, -1)]
    best: tuple[int, int] | None = None
    best_scale = (0, 1)
    for part, whole in scales:
        size = (_grid(width * part, whole), _grid(height * part, whole))
        if size[0] * size[1] <= area and part * best_scale[1] > best_scale[0] * whole:
            best, best_scale = size, (part, whole)
    if best is None:
        raise ValueError(
            f"A picture of {width}x{height} does not fit {area} pixels in steps of {GRID}: "
            "use a larger size or a picture that is less narrow."
        )
    return best


def _grid(part: int, whole: int) -> int:
    return GRID * max(1, -(-part // (whole * GRID)))
