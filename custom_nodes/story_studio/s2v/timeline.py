"""Sizes, chunks and audio alignment of a talking video, in exact integer arithmetic.

A *chunk* is what one sampling run generates: 20 latents, which decode to 80 frames. The model discards its
first three frames, so the audio is preceded by three frames of silence; frame i of the clip is then aligned
with the audio at i / 16 s. A clip that starts with the reference image has that image as frame 0 and discards
nothing; its first generated frame, frame 1, is aligned with 1 / 16 s.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

FPS = 16
CHUNK_FRAMES = 80
CHUNK_LATENTS = 20
LEAD_IN_FRAMES = 3
"""Frames of silence before the audio; the first chunk discards as many frames."""
START_IMAGE_LEAD_IN_FRAMES = -1
"""The lead-in of a clip whose first frame is the reference image: the audio of that frame is skipped."""
MOTION_FRAMES = 73
"""Frames at the end of a chunk that the next one continues: 1 + 4 * (19 - 1)."""
MOTION_LATENTS = 19
SIZE_MULTIPLE = 64
"""Both sides of a clip are multiples of this; the motion packer crops any other size."""
MAX_CROP = Fraction(1, 15)
"""How much of an image may be cropped for the sake of a larger clip: as much as 832 x 448 crops of 832 x 480,
the default size of a still."""
NOTICED_CROP = Fraction(1, 10)
"""How much may be cropped without a warning."""
MIN_PIXELS = Fraction(3, 4)
"""How many of the largest clip's pixels a clip that crops less must have."""


@dataclass(frozen=True)
class Chunk:
    """One sampling run.

    Attributes:
        index: 0 for the first chunk; its seed is `seed + index`.
        start: its first frame, counted from the beginning of the lead-in.
        latents: how many of its latents need decoding, 1 to 20; fewer than 20 only in the last chunk.
        drop: decoded frames at its start that are discarded.
        keep: frames that it adds to the clip, 1 to 80.
    """

    index: int
    start: int
    latents: int
    drop: int
    keep: int


def frame_count(samples: int, sample_rate: int) -> int:
    """The frames that cover the audio: ceil(16 * samples / sample_rate)."""
    return -(-samples * FPS // sample_rate)


def chunk_count(frames: int, lead_in: int = LEAD_IN_FRAMES) -> int:
    """The chunks of a clip: ceil((frames + lead_in) / 80)."""
    return -(-(frames + lead_in) // CHUNK_FRAMES)


def chunks(frames: int, lead_in: int = LEAD_IN_FRAMES) -> Iterator[Chunk]:
    """The chunks of a clip, in order.

    Args:
        frames: length of the clip.
        lead_in: `LEAD_IN_FRAMES` or `START_IMAGE_LEAD_IN_FRAMES`.

    Yields:
        chunks whose `keep` adds up to `frames`, or to `frames - 1` if frame 0 is the reference image.
    """
    for index in range(chunk_count(frames, lead_in)):
        start = index * CHUNK_FRAMES
        drop = max(0, lead_in) if index == 0 else 0
        keep = min(CHUNK_FRAMES - drop, frames + lead_in - start - drop)
        yield Chunk(index, start, -(-(keep + drop) // 4), drop, keep)


def chunk_starts(frames: int, fps: Fraction, lead_in: int = LEAD_IN_FRAMES) -> list[int]:
    """The first frame of each chunk of a clip, from 0 on.

    Args:
        frames: length of the clip.
        fps: its rate. At another one than 16, chunks are as long in seconds.
        lead_in: see `chunks`.
    """
    rendered = math.ceil(frames * FPS / fps)
    starts = (round((chunk.start - lead_in) * fps / FPS) for chunk in chunks(rendered, lead_in))
    return [0, *(start for start in starts if 0 < start < frames)]


def fit_size(width: int, height: int, area: int) -> tuple[int, int]:
    """Width and height of a clip of a `width` x `height` image, all in pixels.

    As in the official pipeline, the image is scaled down, never up, until both sides, rounded up to multiples
    of 64, cover at most `area` pixels. At 832 * 480, 16:9 gives 832 x 448 and 1:1 gives 576 x 576.

    A side that is just above a multiple of 64 is rounded up by nearly 64, and what it gains in pixels is
    cropped from the other side. The official code tries scales in steps of about 1 % and happens to miss many
    such sizes. Here, if the largest size crops more than `MAX_CROP`, a smaller one that crops less is used,
    unless that has less than `MIN_PIXELS` of its pixels.

    Raises:
        ValueError: the image is so narrow that no size fits the area.
    """
    sizes = list(possible_sizes(width, height, area))
    if not sizes:
        raise ValueError(
            f"A {width}x{height} image does not fit into {area} pixels with both sides a multiple of "
            f"{SIZE_MULTIPLE}: raise width or height, or use an image that is less narrow."
        )
    least = MIN_PIXELS * sizes[0][0] * sizes[0][1]
    sizes = [size for size in sizes if size[0] * size[1] >= least]
    crops = [cropped(width, height, *size) for size in sizes]
    best = next((crop for crop in crops if crop <= MAX_CROP), min(crops))
    return sizes[crops.index(best)]


def cropped(width: int, height: int, across: int, down: int) -> Fraction:
    """How much of a `width` x `height` image does not show in a clip of `across` x `down` pixels, 0 to 1."""
    sides = (width * down, height * across)
    return 1 - Fraction(min(sides), max(sides))


def possible_sizes(width: int, height: int, area: int) -> Iterator[tuple[int, int]]:
    """The sizes that the image may have at any scale up to 1, the largest first."""
    scales = {Fraction(1)}
    for side in (width, height):
        scales |= {Fraction(SIZE_MULTIPLE * k, side) for k in range(1, side // SIZE_MULTIPLE + 1)}
    for scale in sorted(scales, reverse=True):
        size = (_round_up(width * scale), _round_up(height * scale))
        if size[0] * size[1] <= area:
            yield size


def _round_up(side: Fraction) -> int:
    return SIZE_MULTIPLE * max(1, math.ceil(side / SIZE_MULTIPLE))
