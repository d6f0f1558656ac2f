"""Sizes, chunks and audio alignment of a talking video, in exact integer arithmetic.

A *chunk* is what one sampling run generates: 20 latents, which decode to 80 frames. The model discards its
first three frames, so the audio is preceded by three frames of silence; frame i of the clip is then aligned
with the audio at i / 16 s. A clip that starts with the reference image has that image as frame 0 and discards
nothing; its first generated frame, frame 1, is aligned with 1 / 16 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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


def fit_size(width: int, height: int, area: int) -> tuple[int, int]:
    """Width and height of a clip of a `width` x `height` image, all in pixels.

    As in the official pipeline, the image is scaled down, never up, until both sides, rounded up to multiples
    of 64, cover at most `area` pixels. At 832 * 480, 16:9 gives 832 x 448 and 1:1 gives 576 x 576.

    Raises:
        ValueError: the image is so narrow that no size fits the area.
    """
    scales = [(width, width)] if width <= height else [(height, height)]
    for side in (width, height):
        scales += [(SIZE_MULTIPLE * k, side) for k in range(side // SIZE_MULTIPLE, 0, -1)]
    best: tuple[int, int] | None = None
    best_scale = (0, 1)
    for part, whole in scales:
        size = (_round_up(width * part, whole), _round_up(height * part, whole))
        if size[0] * size[1] <= area and part * best_scale[1] > best_scale[0] * whole:
            best, best_scale = size, (part, whole)
    if best is None:
        raise ValueError(
            f"A {width}x{height} image does not fit into {area} pixels with both sides a multiple of "
            f"{SIZE_MULTIPLE}: raise width or height, or use an image that is less narrow."
        )
    return best


def _round_up(numerator: int, denominator: int) -> int:
    return SIZE_MULTIPLE * max(1, -(-numerator // (denominator * SIZE_MULTIPLE)))
