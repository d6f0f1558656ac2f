"""Windows of a clip: whatever is done to them, they join as if it had been done to the whole clip."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from story_studio.media import windows


def repeated(frames: np.ndarray, factor: int) -> np.ndarray:
    """Each frame on its own, `factor` times."""
    return np.concatenate([[10 * frame + step for step in range(factor)] for frame in frames])


def between(frames: np.ndarray, factor: int) -> np.ndarray:
    """`factor` - 1 new frames between each two."""
    steps = [1000 * a + b + step for a, b in zip(frames, frames[1:], strict=False) for step in range(factor)]
    return np.array([*steps, 1_000_000 + frames[-1]])


def neighbours(frames: np.ndarray, _: int) -> np.ndarray:
    """Each frame with the one before and the one after it."""
    padded = np.concatenate([frames[:1], frames, frames[-1:]])
    return 1_000_000 * padded[:-2] + 1000 * padded[1:-1] + padded[2:]


@given(
    frames=st.integers(1, 60),
    factor=st.integers(1, 5),
    size=st.integers(2, 20),
    work=st.sampled_from([repeated, between, neighbours]),
)
def test_joined_windows_are_the_whole(
    frames: int, factor: int, size: int, work: Callable[[np.ndarray, int], np.ndarray]
) -> None:
    clip = np.arange(frames)
    whole = work(clip, factor)
    context = 0 if work is repeated else 1
    reader = windows.WindowReader(iter(clip[:, None, None, None]))
    cut = [
        windows.first_window(frames, context),
        *windows.later_windows(frames, context, windows._BYTES // size),
    ]
    joined = []
    for window in cut:
        part = work(reader.read(window).reshape(-1), factor)
        multiplier = windows.multiplier_of(window.last - window.first, len(part), factor)
        assert multiplier is not None
        joined.append(part[windows.added(window, len(part), multiplier, frames)])
    assert np.array_equal(np.concatenate(joined), whole)
    assert [window.start for window in cut[1:]] == [window.end for window in cut[:-1]]


def test_a_window_is_as_large_as_its_frames_allow() -> None:
    (_, second, *_) = windows.later_windows(1000, 1, 4 * 3 * 3840 * 2160)
    assert second.end - second.start == 2
    small = windows.later_windows(100, 1, 4 * 3 * 64 * 64)
    assert [(one.start, one.end, one.first, one.last) for one in small] == [
        (4, 36, 3, 37),
        (36, 68, 35, 69),
        (68, 100, 67, 100),
    ]


@pytest.mark.parametrize(("frames", "changed"), [(5, 7), (5, 0), (5, 4)])
def test_other_numbers_of_frames_have_no_multiplier(frames: int, changed: int) -> None:
    assert windows.multiplier_of(frames, changed, 2) is None


def test_new_frames_need_the_frame_after_the_window() -> None:
    with pytest.raises(ValueError, match="set the context of Clip Frames to 1"):
        windows.added(windows.Window(0, 4, 0, 4), 7, 2, 20)


def test_a_clip_that_ends_early_and_a_window_out_of_order_are_reported() -> None:
    reader = windows.WindowReader(iter(np.zeros((6, 1, 1, 3), np.uint8)))
    reader.read(windows.Window(2, 4, 2, 4))
    with pytest.raises(ValueError, match="in order"):
        reader.read(windows.Window(0, 2, 0, 2))
    with pytest.raises(ValueError, match="ends at frame 6"):
        reader.read(windows.Window(4, 8, 4, 8))
