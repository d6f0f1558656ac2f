"""The master of a clip without models: its rate, size and audio."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from story_studio.media.clip_frames import rgb_pixels, yuv_frames
from story_studio.media.clip_writer import ClipWriter
from story_studio.media.decoder import decode_audio
from story_studio.media.footage import read_footage
from story_studio.media.master import target_of, write_master
from story_studio.media.probe import MediaInfo, probe
from story_studio.media.retime import retimed
from story_studio.story.formats import INTERPOLATIONS, Interpolation

WIDTH, HEIGHT = 128, 96
FPS = 16


def write_clip(path: Path, frames: int = 24) -> Path:
    """A clip with a tone, in which a pattern moves across a still background."""
    tone = 0.3 * np.sin(np.arange(48_000 * frames // FPS, dtype=np.float32) / 20)[None]
    with ClipWriter(path, WIDTH, HEIGHT, tone, 48_000, FPS) as writer:
        for frame in moving(frames, FPS):
            writer.write(frame[None])
    return path


def moving(frames: int, fps: int) -> Iterator[np.ndarray]:
    """A pattern that moves at 64 pixels a second, RGB."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for index in range(frames):
        across = columns - 64 * index / fps
        pattern = 110 + 60 * np.sin(across / 7) + 40 * np.sin(rows / 9 + across / 11)
        still = 60 + 0.5 * columns + 0.4 * rows
        pixels = np.where(rows < HEIGHT // 2, pattern, still)
        yield np.repeat(pixels.clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def grey(levels: list[int]) -> Iterator[av.VideoFrame]:
    """Plain frames."""
    for level in levels:
        yield av.VideoFrame.from_ndarray(np.full((48, 32), level, np.uint8), format="yuv420p")


def master(
    clip: Path, width: int = 0, height: int = 0, fps: str = "16", how: Interpolation = "repeat"
) -> Path:
    footage, path = read_footage(clip), clip.with_name("master.mp4")
    write_master(path, clip, footage, target_of(footage, width, height, Fraction(fps), how))
    return path


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


@pytest.mark.parametrize("how", INTERPOLATIONS)
@pytest.mark.parametrize(("rate", "target"), [("16", "24"), ("16", "25"), ("25", "30"), ("30000/1001", "24")])
def test_each_frame_shows_its_own_time(rate: str, target: str, how: Interpolation) -> None:
    """Of frames that become lighter at a constant rate, from the first to the last one."""
    source, to, levels = Fraction(rate), Fraction(target), [40 + 6 * step for step in range(20)]
    count = round(20 / source * to)
    frames = [frame.to_ndarray()[0, 0] for frame in retimed(grey(levels), source, to, how, count)]
    times = np.arange(count) * float(source / to)
    if how == "repeat":
        times = np.floor(times + 0.5)
    expected = 40 + 6 * np.minimum(times, 19)
    assert len(frames) == count
    # Half a level for rounding, and one that minterpolate rounds down.
    assert np.abs(np.array(frames, float) - expected).max() <= 1.5


def test_a_short_clip_is_held_and_a_long_one_is_cut() -> None:
    levels = [
        frame.to_ndarray()[0, 0] for frame in retimed(grey([50, 60]), Fraction(16), Fraction(24), "motion", 9)
    ]
    assert len(levels) == 9 and levels[0] == 50 and levels[-1] == 60
    assert len(list(retimed(grey([50] * 9), Fraction(16), Fraction(24), "motion", 4))) == 4
    with pytest.raises(ValueError, match="none that can be decoded"):
        list(retimed(grey([]), Fraction(16), Fraction(24), "motion", 4))


def test_motion_is_nearer_to_the_truth_than_blending_and_that_than_repeating() -> None:
    truth = list(moving(36, 48))
    quality = {}
    for how in INTERPOLATIONS:
        sparse = (
            av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p")
            for frame in truth[::3]
        )
        frames = list(rgb_pixels(retimed(sparse, Fraction(16), Fraction(48), how, 36)))
        quality[how] = np.mean([psnr(frames[i], truth[i]) for i in range(4, 30) if i % 3])
    assert quality["motion"] > quality["blend"] + 3 > quality["repeat"] + 3


def test_a_master_has_its_size_rate_and_the_very_same_audio(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    info = probe(master(clip, 320, 320, "24", "motion"))
    assert (info.width, info.height, info.frames, info.fps) == (320, 240, 36, 24)
    assert np.array_equal(decode_audio(tmp_path / "master.mp4"), decode_audio(clip))
    assert audio_packets(tmp_path / "master.mp4") == audio_packets(clip)


def test_a_master_at_the_clips_own_size_and_rate_has_its_frames(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 8)
    frames = list(rgb_pixels(yuv_frames(master(clip), read_footage(clip))))
    for own, original in zip(frames, rgb_pixels(yuv_frames(clip, read_footage(clip))), strict=True):
        assert psnr(own, original) > 40


@pytest.mark.parametrize("codec", ["pcm_s16le", ""])
def test_other_audio_is_encoded_and_none_stays_none(tmp_path: Path, codec: str) -> None:
    clip = tmp_path / "clip.mkv"
    with av.open(str(clip), "w") as file:
        video = file.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = file.add_stream(codec, rate=48_000, layout="stereo") if codec else None
        for frame in grey([90] * 8):
            file.mux(video.encode(frame.reformat(64, 48)))
        file.mux(video.encode(None))
        if isinstance(sound, av.AudioStream):
            tone = (8000 * np.sin(np.arange(24_000) / 15)).astype(np.int16)
            samples = av.AudioFrame.from_ndarray(np.repeat(tone, 2)[None], format="s16", layout="stereo")
            samples.sample_rate = 48_000
            file.mux(sound.encode(samples))
    info: MediaInfo = probe(master(clip, fps="24"))
    assert (info.frames, info.audio_seconds) == (12, pytest.approx(0.5 if codec else 0, abs=0.03))
    if codec:
        assert np.abs(decode_audio(clip) - decode_audio(tmp_path / "master.mp4")[:, :24_000]).max() < 0.05


def test_what_fails_leaves_no_file(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 8)
    footage = read_footage(clip)

    def stop(done: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        target = target_of(footage, 0, 0, Fraction(24), "motion")
        write_master(tmp_path / "master.mp4", clip, footage, target, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def audio_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as file:
        return [bytes(packet) for packet in file.demux(file.streams.audio[0]) if packet.size]
