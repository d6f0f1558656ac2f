"""The cut: whole frames at any rate, and transitions that take nothing from the film's length."""

from __future__ import annotations

from fractions import Fraction

import pytest

from story_studio.media.cut import Span, lay_out

RATES = (Fraction(16), Fraction(24), Fraction(25), Fraction(30_000, 1001))


@pytest.mark.parametrize("fps", RATES)
def test_parts_follow_each_other_without_gaps(fps: Fraction) -> None:
    spans = [Span(1.01 + i / 7, 0.3 * (i % 3), ("cut", "crossfade", "dip")[i % 3]) for i in range(50)]
    parts = lay_out(spans, fps, 0.5)
    assert [part.start for part in parts] == [0, *(part.end for part in parts[:-1])]
    for span, part in zip(spans, parts, strict=True):
        assert part.clip_frames == round(span.seconds * fps)
        assert part.frames - part.clip_frames == round(span.pause * fps)
    for before, part in zip([None, *parts], parts, strict=False):
        # What fades in and what fades out do not meet.
        assert (before.after if before else 0) + max(0, part.before - (part.frames - part.clip_frames)) <= (
            part.clip_frames
        )


@pytest.mark.parametrize(
    ("pause", "before", "after"), [(0, 4, 4), (0.25, 6, 2), (0.3125, 6, 1), (0.5, 8, 0), (2, 8, 0)]
)
def test_a_transition_lies_in_the_pause_as_far_as_it_fits(pause: float, before: int, after: int) -> None:
    first, second = lay_out([Span(2, pause, "dip"), Span(2)], Fraction(16), 0.5)
    assert (first.before, first.after, first.transition) == (before, after, "dip")
    assert second.transition_frames == 0


def test_a_transition_takes_at_most_half_of_a_part() -> None:
    spans = [Span(1, 0, "crossfade"), Span(3 / 16, 0, "crossfade"), Span(1, 0, "crossfade"), Span(0)]
    parts = lay_out(spans, Fraction(16), 3)
    assert [part.frames for part in parts] == [16, 3, 16, 1]
    assert [(part.before, part.after) for part in parts] == [(1, 1), (1, 1), (0, 0), (0, 0)]
    # A transition of no frames is a cut.
    assert [part.transition for part in parts] == ["crossfade", "crossfade", "cut", "cut"]
