"""A film has its story's size, and shows every clip as a player does."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from story_studio.media.canvas import canvas_of
from story_studio.media.clip_writer import ClipWriter
from story_studio.media.film import Shot, assemble, canvas_key, footage_of
from story_studio.media.footage import Footage, read_footage
from story_studio.media.probe import MediaInfo, probe

STORY = (832, 480)


def footage(width: int, height: int, seconds: float = 1.0, fps: int = 16) -> Footage:
    rate = Fraction(fps)
    info = MediaInfo(width, height, round(seconds * fps), rate, seconds, seconds, 48000, 1, (), 0, {})
    return Footage(info, rate, width, height)


DRAWN, SMALL, PORTRAIT = footage(832, 448), footage(256, 128), footage(448, 832)


@pytest.mark.parametrize(
    ("shots", "size", "expected"),
    [
        ([SMALL, DRAWN], STORY, (832, 448)),
        ([PORTRAIT, DRAWN], STORY, (832, 448)),
        ([footage(448, 832, 60), DRAWN], STORY, (832, 448)),
        ([SMALL, PORTRAIT], STORY, (832, 480)),
        ([SMALL, SMALL], STORY, (256, 128)),
        ([DRAWN, DRAWN], STORY, (832, 448)),
        ([footage(576, 576), footage(768, 512)], STORY, (832, 480)),
        ([footage(848, 480), SMALL], (848, 480), (848, 480)),
        ([footage(832, 480), footage(832, 448, 9), SMALL], STORY, (832, 448)),
        # Whoever films with a phone has no wide clips.
        ([PORTRAIT, footage(512, 768)], STORY, (448, 832)),
        ([footage(576, 768), footage(512, 768)], STORY, (480, 832)),
        ([DRAWN, footage(768, 512)], (480, 832), (832, 448)),
        ([DRAWN, footage(576, 576)], (480, 832), (480, 832)),
        # Without the story's size, what is shown for the longest time.
        ([SMALL, footage(832, 448, 5), PORTRAIT], None, (832, 448)),
        ([SMALL, DRAWN], None, (832, 448)),
        ([SMALL, SMALL, footage(832, 448, 2)], None, (256, 128)),
        ([SMALL], None, (256, 128)),
    ],
)
def test_the_size_of_a_film(
    shots: list[Footage], size: tuple[int, int] | None, expected: tuple[int, int]
) -> None:
    canvas = canvas_of(shots, size)
    assert (canvas.width, canvas.height) == expected
    others = canvas_of(shots[::-1], size)
    assert (others.width, others.height) == expected


def clip(path: Path, width: int = 96, height: int = 64, frames: int = 8, fps: int = 16) -> Path:
    """A clip in whose corners nothing looks the same."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([rows * 2, columns * 2, np.full_like(rows, 60)], -1).astype(np.uint8)
    pixels[: height // 4, : width // 4] = 255
    with ClipWriter(path, width, height, np.zeros((1, 48000 * frames // fps)), 48000, fps=fps) as writer:
        writer.write(np.repeat(pixels[None], frames, 0))
    return path


def ffmpeg(*arguments: str | Path) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)


def first_frame(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)


def as_players_show_it(path: Path, folder: Path) -> np.ndarray:
    """The first frame as ffmpeg turns it."""
    ffmpeg("-i", path, "-frames:v", "1", folder / "shown.png")
    return first_frame(folder / "shown.png")


TURNS = [
    *(("-display_rotation", str(angle)) for angle in (0, 90, 180, 270)),
    *(("-display_rotation", str(angle), "-display_hflip") for angle in (0, 90, 180, 270)),
    ("-display_vflip",),
]


@pytest.mark.parametrize("turn", TURNS, ids=" ".join)
@pytest.mark.parametrize("join", ["cut", "crossfade"])
def test_a_clip_is_turned_as_players_turn_it(turn: tuple[str, ...], join: str, tmp_path: Path) -> None:
    plain = clip(tmp_path / "plain.mp4")
    ffmpeg(*turn, "-i", plain, "-c", "copy", turned := tmp_path / "turned.mp4")
    shown = as_players_show_it(turned, tmp_path)
    assemble([Shot(turned)] * 2, film := tmp_path / "film.mp4", join=join)  # pyright: ignore[reportArgumentType]
    result = first_frame(film)
    assert result.shape == shown.shape
    assert np.abs(result - shown).mean() < 3
    assert read_footage(film).is_plain
    assert probe(film).frames == 16


@pytest.mark.parametrize(("aspect", "shown"), [("4/3", (128, 64)), ("2/3", (64, 64)), ("16/11", (140, 64))])
def test_pixels_that_are_not_square_become_square(
    aspect: str, shown: tuple[int, int], tmp_path: Path
) -> None:
    ffmpeg("-i", clip(tmp_path / "plain.mp4"), "-vf", f"setsar={aspect}", wide := tmp_path / "wide.mp4")
    assert read_footage(wide).size == shown
    assemble([Shot(wide)] * 2, film := tmp_path / "film.mp4")
    result = first_frame(film)
    assert (result.shape[1], result.shape[0]) == shown
    assert (result[:14, : shown[0] // 4 - 4] > 220).all() and (result[40:, 2] < 200).all()
    with av.open(str(film)) as container:
        assert container.streams.video[0].sample_aspect_ratio in (None, 1)


def test_a_turned_clip_with_wide_pixels_among_others(tmp_path: Path) -> None:
    plain = clip(tmp_path / "plain.mp4")
    ffmpeg("-i", plain, "-vf", "setsar=4/3", wide := tmp_path / "wide.mp4")
    ffmpeg("-display_rotation", "90", "-i", wide, "-c", "copy", both := tmp_path / "both.mp4")
    assert read_footage(both).size == (64, 128)
    assemble([Shot(both), Shot(plain)], film := tmp_path / "film.mp4", size=(96, 64))
    result = first_frame(film)
    assert result.shape[:2] == (64, 96)
    bars = result[:, [*range(30), *range(66, 96)]]
    assert np.abs(bars).max() < 12
    assert result[:, 36:60].mean() > 40


def test_a_small_first_clip_does_not_shrink_the_film(tmp_path: Path) -> None:
    small, large = clip(tmp_path / "small.mp4", 64, 48), clip(tmp_path / "large.mp4", 192, 128)
    assemble([Shot(small), Shot(large)], film := tmp_path / "film.mp4", size=(200, 130))
    info = probe(film)
    assert (info.width, info.height, info.frames) == (192, 128, 16)
    # The small one fills the height between two bars.
    assert np.abs(first_frame(film)[:, :8]).max() < 12
    with av.open(str(film)) as container:
        last = list(container.decode(video=0))[-1].to_ndarray(format="rgb24").astype(int)
    assert np.abs(last - first_frame(large)).mean() < 3


@pytest.mark.parametrize("size", [(97, 64), (96, 65), (97, 65)])
def test_clips_of_odd_sizes_have_a_film(size: tuple[int, int], tmp_path: Path) -> None:
    odd = tmp_path / "odd.mp4"
    ffmpeg("-i", clip(tmp_path / "p.mp4"), "-vf", f"scale={size[0]}:{size[1]}", "-pix_fmt", "yuv444p", odd)
    assemble([Shot(odd)] * 2, film := tmp_path / "film.mp4")
    info = probe(film)
    assert (info.width, info.height, info.frames) == (-size[0] // 2 * -2, -size[1] // 2 * -2, 16)


def test_a_variable_frame_rate_keeps_its_time(tmp_path: Path) -> None:
    steady = clip(tmp_path / "steady.mp4", frames=32)
    # The second half is half as fast.
    ffmpeg(
        *("-i", steady, "-vf", r"select=lt(n\,16)+not(mod(n\,2))", "-fps_mode", "vfr"),
        varying := tmp_path / "varying.mp4",
    )
    assert probe(varying).frames == 24
    assemble([Shot(varying), Shot(steady), Shot(steady)], film := tmp_path / "film.mp4")
    info = probe(film)
    # The file's index ends with its last but one frame.
    assert (info.fps, info.frames) == (16, pytest.approx(3 * 32, abs=3))
    assemble([Shot(varying)] * 2, film, join="crossfade")
    assert probe(film).video_seconds == pytest.approx(4, abs=0.4)


def test_the_key_of_a_film_changes_only_with_what_is_seen(tmp_path: Path) -> None:
    one, two = Shot(clip(tmp_path / "1.mp4")), Shot(clip(tmp_path / "2.mp4", 64, 64))
    ffmpeg("-display_rotation", "180", "-i", one.path, "-c", "copy", tmp_path / "turned.mp4")
    for size in (None, (96, 64), (832, 480)):
        assert canvas_key(footage_of([one, one]), size) == ""
    assert canvas_key(footage_of([one, two]), (96, 64)) == ""
    assert canvas_key(footage_of([one, two, one]), None) == ""
    assert canvas_key(footage_of([two, one]), (96, 64)) == "96x64@16"
    assert canvas_key(footage_of([one, two]), (200, 100)) == "200x100@16"
    assert canvas_key(footage_of([Shot(tmp_path / "turned.mp4")]), None) == "96x64@16"
