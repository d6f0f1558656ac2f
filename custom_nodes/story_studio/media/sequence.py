"""The frames of a film in order: its parts, what blends them, and the fades at both ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import av
import numpy as np

from .cut import Part

Source = Callable[[int], Iterator[av.VideoFrame]]
"""Exactly as many yuv420p frames as asked for; the last one may be repeated."""
_ROWS_AT_A_TIME = 32


def frames_of(
    parts: Sequence[Part],
    sources: Sequence[Source],
    draw: Callable[[int, av.VideoFrame], av.VideoFrame] | None = None,
    fade: int = 0,
) -> Iterator[av.VideoFrame]:
    """All frames of a film, one at a time.

    Args:
        parts: the cut.
        sources: the frames of each part.
        draw: changes a frame, given its number, below the fades.
        fade: frames over which the film comes from black, and goes to black.
    """
    last = parts[-1].end
    for number, frame in enumerate(_joined(parts, sources)):
        if draw:
            frame = draw(number, frame)
        light = (min(number, last - 1 - number) + 0.5) / max(1, fade)
        yield frame if light >= 1 or not fade else _dimmed(frame, light)


def _joined(parts: Sequence[Part], sources: Sequence[Source]) -> Iterator[av.VideoFrame]:
    held = np.empty(0)
    for i, (part, source) in enumerate(zip(parts, sources, strict=True)):
        before = parts[i - 1] if i else Part(0, 0, 0)
        following = next(sources[i + 1](1)).to_ndarray() if part.before else held
        for position, frame in enumerate(source(part.frames)):
            blended = frame
            if position < before.after:
                blended = _mixed(before, before.before + position, held, frame.to_ndarray())
            elif position >= part.frames - part.before:
                into = position - (part.frames - part.before)
                blended = _mixed(part, into, frame.to_ndarray(), following)
            yield blended
        if part.after:
            held = frame.to_ndarray()


def _mixed(part: Part, position: int, old: np.ndarray, new: np.ndarray) -> av.VideoFrame:
    """The frame at a position of the transition after a part."""
    progress = (position + 0.5) / part.transition_frames
    if part.transition == "crossfade":
        return _blend(old, new, progress)
    shown, light = (old, 1 - 2 * progress) if progress < 0.5 else (new, 2 * progress - 1)
    return _blend(_black(shown), shown, light)


def _dimmed(frame: av.VideoFrame, light: float) -> av.VideoFrame:
    shown = frame.to_ndarray()
    return _blend(_black(shown), shown, light)


def _black(like: np.ndarray) -> np.ndarray:
    """A black yuv420p frame of the same size: planes of luma, and of two thirds as many rows in all."""
    black = np.full_like(like, 128)
    black[: like.shape[0] * 2 // 3] = 16
    return black


def _blend(old: np.ndarray, new: np.ndarray, weight: float) -> av.VideoFrame:
    """Two yuv420p frames mixed in fixed point; `weight` is that of `new`, 0 to 1."""
    scaled = round(weight * 256)
    mixed = np.empty_like(old)
    # In pieces that stay in the processor's cache: several times as fast.
    for start in range(0, len(old), _ROWS_AT_A_TIME):
        rows = slice(start, start + _ROWS_AT_A_TIME)
        total = np.multiply(old[rows], 256 - scaled, dtype=np.uint16)
        total += np.multiply(new[rows], scaled, dtype=np.uint16)
        total += 128
        total >>= 8
        mixed[rows] = total
    return av.VideoFrame.from_ndarray(mixed, format="yuv420p")
