"""The worst moments of a clip, and the sheet that shows them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from story_studio.checks.figures import Color, Figures, Frames, Lengths, Seams, Span
from story_studio.checks.moments import MOST, Moment, frames_of, moments_of
from story_studio.checks.sheet import columns_of, draw
from story_studio.checks.verdict import judge

FPS = 10


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds in which each frame is brighter than the one before; one keyframe."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", FPS, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(3 * FPS):
            level = np.full((64, 96, 3), 30 + 6 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(level, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def figures(**changes: object) -> Figures:
    about = {"fps": FPS, "width": 96, "height": 64, "lengths": Lengths(video=3.0), "talking": False}
    return Figures.model_validate(about | changes)


def shown(of: Figures) -> list[Moment]:
    return moments_of(of, judge(of)[1], columns_of(of))


def test_the_frames_are_those_of_the_moments(clip: Path) -> None:
    moments = [Moment(0.0), Moment(1.2, beside=1.1), Moment(2.9)]
    frames = frames_of(clip, moments)
    assert sorted(frames) == [0.0, 1.1, 1.2, 2.9]
    for time, image in frames.items():
        assert abs(np.asarray(image).mean() - (30 + 6 * round(time * FPS))) < 3, time


def test_a_file_that_cannot_be_read_has_no_frames(tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    file.write_bytes(b"not a video")
    assert frames_of(file, [Moment(0.0)]) == {}


def test_faults_are_shown_in_the_order_of_time_and_the_row_is_filled() -> None:
    moments = shown(
        figures(
            frames=Frames(black=[Span(start=2.0, end=2.2)]),
            seams=Seams(largest=50.0, at=1.0),
            color=Color(drift=40.0, at=2.8),
        )
    )
    assert [moment.at for moment in moments if moment.level] == [1.0, 2.0, 2.8]
    assert [moment.compared_with for moment in moments if moment.level] == ["before", "", "start"]
    assert len(moments) == 4 and [moment.at for moment in moments] == sorted(moment.at for moment in moments)
    assert sum(not moment.text for moment in moments) == 1


def test_only_the_worst_are_shown_and_what_coincides_once() -> None:
    black = [Span(start=0.25 * n, end=0.25 * n + 0.01 * (n + 1)) for n in range(12)]
    moments = shown(figures(frames=Frames(black=black, flicker=90.0, flicker_at=2.76)))
    assert len(moments) == MOST
    # The shortest ones are left out.
    assert moments[0].at > 0.5
    assert all(after.at - before.at >= 0.2 for before, after in zip(moments, moments[1:], strict=False))


def test_a_time_beyond_the_end_is_that_of_the_last_frame(clip: Path) -> None:
    moments = shown(figures(color=Color(drift=40.0, at=3.0)))
    assert moments[-1].level
    assert moments[-1].at in frames_of(clip, moments)


def test_a_clip_without_length_has_one_moment() -> None:
    assert len(shown(figures(lengths=Lengths(video=0.0)))) <= 1


@pytest.mark.parametrize("size", [(96, 64), (64, 96)])
def test_the_sheet_shows_every_frame_and_the_verdict(size: tuple[int, int]) -> None:
    bad = figures(
        width=size[0], height=size[1], frames=Frames(black=[Span(start=2.0, end=2.2)]), missing=["why."]
    )
    verdict, findings = judge(bad)
    moments = moments_of(bad, findings, columns_of(bad))
    green = Image.new("RGB", size, (0, 255, 0))
    sheet = draw("A clip", verdict, findings, bad, moments, {moment.at: green for moment in moments})
    pixels = np.asarray(sheet)
    cells = (pixels == (0, 255, 0)).all(2)
    # Each cell keeps the clip's shape, and none leaves the sheet.
    columns = np.diff(np.flatnonzero(np.diff(np.r_[False, cells.any(0), False])))[::2]
    assert len(columns) == columns_of(bad) == len(moments)
    assert cells.sum() == pytest.approx(len(moments) * columns[0] ** 2 * size[1] / size[0], rel=0.02)
    # The verdict stands at the upper right, in red.
    assert (pixels[44:90, -160:-44] == (226, 99, 86)).all(2).mean() > 0.5
    # Without frames the cells are empty, and nothing fails.
    assert draw("", verdict, findings, bad, moments, {}).size == sheet.size
