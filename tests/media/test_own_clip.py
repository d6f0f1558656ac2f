"""Clips of one's own: the frames and samples that were asked for, whatever the file is like."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from story_studio.media.excerpt import excerpt_of
from story_studio.media.footage import Footage, read_footage
from story_studio.media.join import join_clips
from story_studio.media.one_frame import frame_at
from story_studio.media.own_clip import Recording, write_own_clip
from story_studio.media.probe import MediaInfo, probe
from tests.media.numbered import (
    BITS,
    HEIGHT,
    RATE,
    WIDTH,
    click_samples,
    ffmpeg,
    numbers,
    write_numbered,
)
from tests.media.test_film import frames_of

CLICKS = [24_000, 48_000, 96_000]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_numbered(tmp_path_factory.mktemp("own") / "source.mp4", 75, 25, CLICKS, channels=2)


def own(path: Path, start: float = 0, end: float = 0, frames: int = 0, **more) -> Path:
    footage = read_footage(path)
    excerpt, _ = excerpt_of(footage, start, end)
    written = path.with_name(f"own_{path.stem}.mp4")
    write_own_clip(written, path, footage, excerpt, frames or excerpt.frames, **more)
    return written


@pytest.mark.parametrize("fps", [Fraction(24000, 1001), 25, Fraction(30000, 1001), 50, 60])
def test_a_part_is_exact_to_a_frame_and_its_audio_to_a_sample(fps: Fraction | int, tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "source.mp4", 90, fps, [24_000, 48_000])
    first, last = round(0.7 * fps), round(1.4 * fps)
    written = own(path, 0.7, 1.4)
    assert numbers(written) == list(range(first, last))
    assert click_samples(written) == [48_000 - round(first * RATE / fps)]
    info = probe(written)
    assert (info.fps, info.frames) == (fps, last - first)
    assert info.audio_seconds == pytest.approx(info.video_seconds, abs=1 / RATE)


FILES = {
    "broadcast.ts": ("-c", "copy"),
    "late.mp4": ("-c", "copy", "-output_ts_offset", "3"),
    "ten_bits.mkv": (
        "-c:v",
        "libx265",
        "-pix_fmt",
        "yuv420p10le",
        "-x265-params",
        "log-level=none",
        "-ac",
        "6",
    ),
    "open.mp4": ("-c:v", "libx264", "-x264-params", "open-gop=1:keyint=20:bframes=3", "-c:a", "copy"),
    "mono.mp4": ("-c:v", "copy", "-ar", "44100", "-ac", "1"),
    "no_audio.webm": ("-an", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_all_kinds(name: str, source: Path, tmp_path: Path) -> None:
    ffmpeg("-i", source, *FILES[name], path := tmp_path / name)
    whole, part = own(path), own(path.rename(tmp_path / f"part_{name}"), 0.72, 2.2)
    assert numbers(whole) == list(range(75))
    assert numbers(part) == list(range(18, 55))
    heard = "audio" not in name
    assert click_samples(whole) == pytest.approx(CLICKS if heard else [], abs=1)
    # The sample of frame 18, at 0.72 s, is the first.
    assert click_samples(part) == pytest.approx([at - 34_560 for at in CLICKS[1:]] if heard else [], abs=1)
    assert probe(part).channels == (2 if heard else 0)


def test_a_varying_rate_becomes_the_one_that_loses_no_frame(tmp_path: Path) -> None:
    steady = write_numbered(tmp_path / "steady.mp4", 80, 30, [48_000])
    # As a phone does when it gets dark: the second half has half the frames.
    select = r"select=lt(n\,40)+not(mod(n\,2))"
    ffmpeg("-i", steady, "-vf", select, "-fps_mode", "vfr", path := tmp_path / "varying.mp4")
    written = own(path)
    assert probe(written).fps == 30
    shown = numbers(written)
    assert shown[:40] == list(range(40))
    assert shown[40:76] == [number // 2 * 2 for number in range(40, 76)]
    assert click_samples(written) == [48_000]


@pytest.mark.parametrize(
    ("average", "base", "steady"),
    [
        ("25", "50", "25"),
        ("30000/1001", "30000/1001", "30000/1001"),
        ("25/2", "25/2", "25/2"),
        ("181350/6053", "90000", "30000/1001"),
        ("1413000/47321", "30", "30"),
        ("9000/403", "90000", "24000/1001"),
    ],
)
def test_the_steady_rate_of_a_file(average: str, base: str, steady: str) -> None:
    rate = Fraction(average)
    info = MediaInfo(64, 64, 60, rate, 2, 2, RATE, 1, (), 0, {})
    assert Footage(info, rate, 64, 64, (), True, Fraction(base)).steady_fps == Fraction(steady)


def test_a_phones_video_is_upright(source: Path, tmp_path: Path) -> None:
    ffmpeg("-display_rotation", "90", "-i", source, "-c", "copy", path := tmp_path / "phone.mp4")
    info = probe(own(path, 0, 0.4))
    assert (info.width, info.height, info.frames) == (HEIGHT, WIDTH, 10)
    assert read_footage(own(path, 0, 0.4)).is_plain


def test_another_sound_has_its_length_and_the_last_frame_is_held(source: Path) -> None:
    waveform = np.zeros((1, round(44_100 * 1.234)), np.float32)
    waveform[0, 44_100] = 0.9
    sound = Recording(waveform, 44_100)
    assert sound.frames(Fraction(25)) == 31
    written = own(source, frames=31, sound=sound)
    assert numbers(written) == list(range(31))
    assert click_samples(written) == pytest.approx([RATE], abs=1)
    held = own(source, 1, 1.4, frames=31, sound=sound)
    assert numbers(held) == [*range(25, 35), *[34] * 21]
    assert probe(held).channels == 1


def test_a_muted_clip_has_no_sound(source: Path) -> None:
    info = probe(own(source, 0, 0.4, mute=True))
    assert (info.frames, info.channels) == (10, 0)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (3.5, 0, "start is 3.5 s, but the video lasts only 3.00 s"),
        (2, 1, "start is 2 s and end is 1 s: end has to be later"),
        (1, 1.01, "end has to be later by a frame"),
    ],
)
def test_times_that_cannot_be(start: float, end: float, message: str, source: Path) -> None:
    with pytest.raises(ValueError, match=message):
        excerpt_of(read_footage(source), start, end)


def test_an_end_beyond_the_video_is_a_warning(source: Path) -> None:
    excerpt, warning = excerpt_of(read_footage(source), 2, 40)
    assert (excerpt.first, excerpt.frames) == (50, 25)
    assert warning == "end is 40 s, but the video lasts only 3.00 s: it is shown to its end."


@pytest.mark.parametrize(("position", "number"), [("first", 0), ("middle", 37), ("last", 74)])
def test_one_frame(position: str, number: int, source: Path) -> None:
    frame = frame_at(source, read_footage(source), position)  # pyright: ignore[reportArgumentType]
    assert frame.shape == (HEIGHT, WIDTH, 3)
    columns = frame[HEIGHT // 2, (np.arange(BITS) * 2 + 1) * WIDTH // BITS // 2, 0] > 128
    assert (columns << np.arange(BITS)).sum() == number


def test_videos_that_continue_each_other(tmp_path: Path) -> None:
    first = write_numbered(tmp_path / "a.mp4", 20, 25, [4800])
    second = write_numbered(tmp_path / "b.mp4", 30, 25, [9600])
    footage = read_footage(second)
    join_clips(two := tmp_path / "two.mp4", (first, read_footage(first)), (second, footage))
    join_clips(three := tmp_path / "three.mp4", (two, read_footage(two)), (second, footage))
    assert numbers(three) == [*range(20), *range(1, 30), *range(1, 30)]
    # A second clip's audio starts with its second frame.
    starts = (20 * 1920 - 1920, 49 * 1920 - 1920)
    assert click_samples(three) == pytest.approx([4800, *(start + 9600 for start in starts)], abs=1)
    assert probe(three).audio_seconds == pytest.approx(78 / 25, abs=1e-3)
    # What was encoded once is not encoded again.
    assert np.array_equal(frames_of(three)[:49], frames_of(two))


def test_a_continuation_of_another_size_and_rate_is_fitted(tmp_path: Path) -> None:
    first = write_numbered(tmp_path / "a.mp4", 16, 16, None)
    second = write_numbered(tmp_path / "b.mp4", 50, 50, [RATE // 2], size=(64, 64))
    join_clips(path := tmp_path / "both.mp4", (first, read_footage(first)), (second, read_footage(second)))
    info = probe(path)
    assert (info.width, info.height, info.fps, info.frames) == (WIDTH, HEIGHT, 16, 31)
    assert click_samples(path) == pytest.approx([RATE + RATE // 2 - RATE // 16], abs=2)
