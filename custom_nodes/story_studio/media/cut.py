"""The cut of a film: which frame belongs to which part, in whole frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

Transition = Literal["cut", "crossfade", "dip"]
"""How a part becomes the next: at once, by blending, or through black."""


class Span(NamedTuple):
    """What a part of a film asks for: its own duration, the pause after it, and how the next one follows."""

    seconds: float
    pause: float = 0.0
    transition: Transition = "cut"


@dataclass(frozen=True)
class Part:
    """A part of a film, in frames.

    Attributes:
        start: its first frame.
        frames: how many it has, with the pause, in which its last frame is held.
        clip_frames: how many it has of its own.
        transition: how the next part follows.
        before, after: frames of this transition in this part's end, and in the next part's beginning.
    """

    start: int
    frames: int
    clip_frames: int
    transition: Transition = "cut"
    before: int = 0
    after: int = 0

    @property
    def end(self) -> int:
        """The first frame after it."""
        return self.start + self.frames

    @property
    def transition_frames(self) -> int:
        """Frames of the transition to the next part, in both parts."""
        return self.before + self.after


def lay_out(spans: Sequence[Span], fps: Fraction, transition_seconds: float) -> tuple[Part, ...]:
    """Places parts one after the other.

    A transition takes nothing from the film's length: beyond its own frames, a part is shown by its held
    first or last one. It is centred on the cut, over at most half of each part, and where there is a pause,
    it lies inside the pause as far as it fits.

    Args:
        spans: the parts in order; each has one frame at least.
        fps: frames a second.
        transition_seconds: duration of a crossfade or dip.
    """
    own = [max(1, round(span.seconds * fps)) for span in spans]
    pauses = [round(span.pause * fps) for span in spans]
    wanted = 2 * max(0, round(transition_seconds * fps / 2))
    parts: list[Part] = []
    start = 0
    for i, span in enumerate(spans):
        before = after = 0
        if i + 1 < len(spans) and span.transition != "cut":
            after = min(max(0, wanted - pauses[i]) // 2, own[i] // 2, own[i + 1] // 2)
            before = after + min(wanted, pauses[i])
        transition = span.transition if before else "cut"
        parts.append(Part(start, own[i] + pauses[i], own[i], transition, before, after))
        start = parts[-1].end
    return tuple(parts)
