"""Sizes, chunks and audio alignment of a talking video."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from story_studio.s2v import timeline
from tests.s2v import official

LENGTHS = range(1, 3001)


@given(st.integers(1, 10**8), st.sampled_from([8000, 16000, 22050, 24000, 44100, 48000, 96000]))
def test_no_audio_is_cut_and_less_than_one_frame_is_added(samples: int, rate: int) -> None:
    seconds, frames = Fraction(samples, rate), timeline.frame_count(samples, rate)
    assert frames == math.ceil(16 * seconds)
    assert 0 <= Fraction(frames, 16) - seconds < Fraction(1, 16)


def test_chunks_cover_every_length_exactly() -> None:
    for frames in LENGTHS:
        chunks = list(timeline.chunks(frames))
        assert sum(chunk.keep for chunk in chunks) == frames
        assert [chunk.index for chunk in chunks] == list(range(math.ceil((frames + 3) / 80)))
        assert all(
            1 <= chunk.latents <= 20 and chunk.keep + chunk.drop <= 4 * chunk.latents for chunk in chunks
        )
        # One latent fewer would not suffice.
        assert all(chunk.keep + chunk.drop > 4 * (chunk.latents - 1) for chunk in chunks)


def test_frame_i_is_aligned_with_the_audio_at_i() -> None:
    """Frame i is number i + 3 counted from the lead-in, which is three frames long."""
    for frames in (1, 77, 78, 157, 158, 1000):
        positions = [
            chunk.start + chunk.drop + number
            for chunk in timeline.chunks(frames)
            for number in range(chunk.keep)
        ]
        assert [position - timeline.LEAD_IN_FRAMES for position in positions] == list(range(frames))


def test_a_clip_that_starts_with_the_image_adds_it_and_drops_nothing() -> None:
    for frames in LENGTHS:
        chunks = list(timeline.chunks(frames, timeline.START_IMAGE_LEAD_IN_FRAMES))
        assert sum(chunk.keep for chunk in chunks) == frames - 1
        assert not any(chunk.drop for chunk in chunks)
        # Frame 0 is the image; frame i is number i - 1, because the audio of the first frame is skipped.
        positions = [chunk.start + number for chunk in chunks for number in range(chunk.keep)]
        assert positions == list(range(frames - 1))


def test_every_chunk_but_the_last_leaves_enough_motion_for_the_next() -> None:
    for frames in LENGTHS:
        assert all(chunk.keep >= timeline.MOTION_FRAMES for chunk in list(timeline.chunks(frames))[:-1])


@pytest.mark.parametrize(
    ("image", "area", "size"),
    [
        ((1920, 1080), 832 * 480, (832, 448)),
        ((832, 480), 832 * 480, (832, 448)),
        ((1000, 1000), 832 * 480, (576, 576)),
        ((1080, 1920), 832 * 480, (448, 832)),
        ((1920, 1080), 1280 * 720, (1280, 704)),
        ((128, 128), 832 * 480, (128, 128)),
        ((100, 60), 832 * 480, (128, 64)),
        ((1, 1), 64 * 64, (64, 64)),
        # Of the largest size, 448x832, 576x640 and 384x1024, more than MAX_CROP would be cropped.
        ((1170, 2532), 832 * 480, (384, 832)),
        ((1939, 1944), 832 * 480, (576, 576)),
        ((905, 2890), 832 * 480, (320, 1024)),
        # 192x128 crops nothing, but has less than MIN_PIXELS of the 320x256.
        ((300, 200), 832 * 480, (320, 192)),
        ((1, 5000), 832 * 480, (64, 5056)),
        ((100_000, 1), 832 * 480, (6208, 64)),
    ],
)
def test_sizes(image: tuple[int, int], area: int, size: tuple[int, int]) -> None:
    assert timeline.fit_size(*image, area) == size


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(64, 1280), st.integers(64, 1280))
def test_a_size_fits_its_area_in_steps_of_64(width: int, height: int, across: int, down: int) -> None:
    try:
        size = timeline.fit_size(width, height, across * down)
    except ValueError:
        assert max(width, height) / min(width, height) * 64 * 64 > across * down - 64 * 64
        return
    assert size[0] * size[1] <= across * down
    assert size[0] % 64 == size[1] % 64 == 0


SIDES = st.integers(1, 6000)
AREAS = st.sampled_from([832 * 480, 1280 * 720, 448 * 256])


@given(SIDES, SIDES, AREAS)
def test_a_size_that_crops_little_stays_the_largest(width: int, height: int, area: int) -> None:
    """Earlier versions used the largest size, so new clips fit beside the finished ones."""
    try:
        size = timeline.fit_size(width, height, area)
    except ValueError:
        return
    largest = _largest(width, height, area)
    crop, most = (timeline.cropped(width, height, *each) for each in (size, largest))
    assert size == largest or Fraction(1, 15) < most > crop
    assert size[0] * size[1] >= Fraction(3, 4) * largest[0] * largest[1]


@given(SIDES, SIDES, AREAS)
def test_no_more_is_cropped_than_officially(width: int, height: int, area: int) -> None:
    """Or than 1/15, where the official size is smaller; its bars of black count as cropped."""
    try:
        size, theirs = timeline.fit_size(width, height, area), official.size_of(width, height, area)
    except ValueError:
        return
    crop, their_crop = (timeline.cropped(width, height, *each) for each in (size, theirs))
    smaller = theirs[0] * theirs[1] < Fraction(3, 4) * math.prod(_largest(width, height, area))
    assert crop <= max(their_crop, Fraction(1, 15)) or smaller


def test_the_default_size_of_a_still_crops_as_much_as_a_size_may() -> None:
    assert timeline.cropped(832, 480, 832, 448) == timeline.MAX_CROP


@pytest.mark.parametrize("image", [(100, 99), (1, 5000), (5000, 1)])
def test_an_area_without_a_size_is_refused(image: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="does not fit into 4032 pixels.*raise width or height"):
        timeline.fit_size(*image, 64 * 63)


def _largest(width: int, height: int, area: int) -> tuple[int, int]:
    """The size at the largest scale up to 1 whose sides, rounded up to multiples of 64, fit the area."""
    scales = {Fraction(1)} | {
        Fraction(64 * count, side) for side in (width, height) for count in range(1, side // 64 + 1)
    }
    sizes = ((scale, _up(scale * width), _up(scale * height)) for scale in scales)
    _, across, down = max(size for size in sizes if size[1] * size[2] <= area)
    return across, down


def _up(side: Fraction) -> int:
    return 64 * max(1, math.ceil(side / 64))
