"""Written clips: length, synchronisation, colour and tags; and probing them."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from story_studio.media import encoder
from story_studio.media.clip_writer import ClipWriter
from story_studio.media.probe import probe, to_seconds


def click(seconds: float, at: float, rate: int, channels: int = 1) -> np.ndarray:
    waveform = np.zeros((channels, round(seconds * rate)), np.float32)
    waveform[:, round(at * rate)] = 1.0
    return waveform


def make_frames(
    count: int, width: int = 64, height: int = 48, colour: tuple[int, int, int] = (90, 120, 60)
) -> np.ndarray:
    return np.tile(np.array(colour, np.uint8), (count, height, width, 1))


def write(path: Path, frames: np.ndarray | torch.Tensor, waveform: np.ndarray, rate: int, **options) -> Path:
    with ClipWriter(path, frames.shape[2], frames.shape[1], waveform, rate, **options) as clip:
        clip.write(frames)
    return path


def audio_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


@pytest.mark.parametrize(
    ("rate", "channels"),
    [(16000, 1), (22050, 1), (24000, 2), (44100, 2), (48000, 1), (44100, 6), (48000, 8), (16000, 24)],
)
@pytest.mark.parametrize("audio_seconds", [1.0, 9.0])
def test_audio_has_the_length_of_the_video_and_is_in_sync(tmp_path, rate, channels, audio_seconds):
    path = write(tmp_path / "clip.mp4", make_frames(47), click(audio_seconds, 0.9, rate, channels), rate)
    info = probe(path)
    assert (info.frames, info.fps, info.video_seconds) == (47, 16, 47 / 16)
    assert info.audio_seconds == pytest.approx(47 / 16, abs=1e-4)
    assert (info.sample_rate, info.channels) == (48000, min(channels, 2))
    assert abs(int(np.abs(audio_of(path)[0]).argmax()) - 0.9 * 48000) <= 3


@pytest.mark.parametrize(
    ("rate", "gains"),
    [
        pytest.param(48000, [1.5], id="mono"),
        pytest.param(16000, [2**15], id="as large as integers"),
        pytest.param(48000, [0.9] * 6, id="5.1"),
        pytest.param(44100, [0.9] * 4, id="quad"),
    ],
)
def test_audio_beyond_full_scale_is_lowered_and_keeps_its_form(tmp_path, rate, gains):
    time = np.arange(2 * rate, dtype=np.float32) / rate
    tone = np.sin(2 * np.pi * 200 * time) * np.linspace(0.2, 1, len(time), dtype=np.float32)
    waveform = np.stack([gain * tone for gain in gains]).astype(np.float32)
    audio = audio_of(write(tmp_path / "clip.mp4", make_frames(32), waveform, rate))[0]
    assert np.abs(audio[4800:-4800]).max() <= 1
    # Clipping would flatten the loud end, and leave the quiet start louder.
    loudness = [np.abs(audio[at - 1000 : at + 1000]).max() for at in (24_000, 72_000)]
    assert loudness[1] / loudness[0] == pytest.approx(0.8 / 0.4, rel=0.05)
    assert loudness[1] > 0.7


def test_audio_below_full_scale_is_written_as_it_is(tmp_path):
    samples = (0.9 * np.sin(np.arange(96_000) / 30)[None]).astype(np.float32)
    audio = audio_of(write(tmp_path / "clip.mp4", make_frames(32), samples, 48000))[0]
    assert np.abs(audio[20_000:70_000]).max() == pytest.approx(0.9, abs=0.01)


def test_every_stream_starts_at_zero(tmp_path):
    path = write(tmp_path / "clip.mp4", make_frames(20), click(2, 0.5, 16000), 16000)
    with av.open(str(path)) as container:
        assert [stream.start_time for stream in container.streams] == [0, 0]
        assert [to_seconds(frame.pts, frame.time_base) for frame in container.decode(video=0)] == [
            Fraction(i, 16) for i in range(20)
        ]


@pytest.mark.parametrize(
    "colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 40, 90)]
)
def test_colour_is_bt709_in_limited_range(tmp_path, colour):
    path = write(tmp_path / "clip.mp4", make_frames(3, colour=colour), click(1, 0, 48000), 48000)
    red, green, blue = (part / 255 for part in colour)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    expected = 16 + 219 * luma, 128 + 224 * (blue - luma) / 1.8556, 128 + 224 * (red - luma) / 1.5748
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_range, frame.format.name) == (1, 1, "yuv420p")
    planes = frame.to_ndarray()
    assert (planes[10, 10], planes[50, 10], planes[65, 10]) == pytest.approx(expected, abs=1.5)


def test_floats_and_bytes_give_the_same_clip(tmp_path):
    rng = np.random.default_rng(1)
    exact = rng.integers(0, 256, (5, 48, 64, 3), dtype=np.uint8)
    audio = click(1, 0.1, 48000)
    clips = [
        write(tmp_path / "bytes.mp4", exact, audio, 48000),
        write(tmp_path / "array.mp4", exact.astype(np.float32) / 255, audio, 48000),
        write(tmp_path / "tensor.mp4", torch.from_numpy(exact), audio, 48000),
        write(tmp_path / "float.mp4", torch.from_numpy(exact) / 255.0, audio, 48000),
    ]
    assert len({clip.read_bytes() for clip in clips}) == 1


@pytest.mark.parametrize(("width", "height"), [(80, 80), (832, 480)])
def test_a_clip_does_not_depend_on_uninitialised_memory(width, height, tmp_path):
    """Two processes whose new memory is filled with different bytes write the same clip."""
    script = (
        "import sys, numpy\n"
        "from story_studio.media.clip_writer import ClipWriter\n"
        f"noise = numpy.random.default_rng(0).integers(0, 255, ({height}, {width}, 3), numpy.uint8)\n"
        "frames = numpy.stack([numpy.roll(noise, shift, 1) // 2 + noise // 4 for shift in range(12)])\n"
        f"with ClipWriter(sys.argv[1], {width}, {height}, numpy.zeros((1, 9000), 'f4'), 16000) as clip:\n"
        "    clip.write(frames)\n"
    )
    clips = [tmp_path / "one.mp4", tmp_path / "two.mp4"]
    for clip, fill_byte in zip(clips, ("1", "200"), strict=True):
        paths = os.pathsep.join(sys.path)
        environment = {**os.environ, "MALLOC_PERTURB_": fill_byte, "PYTHONPATH": paths}
        subprocess.run([sys.executable, "-c", script, str(clip)], env=environment, check=True)
    assert clips[0].read_bytes() == clips[1].read_bytes()


def test_frames_written_in_parts_give_the_same_clip(tmp_path):
    frames, audio = make_frames(30), click(2, 0.4, 24000)
    whole = write(tmp_path / "whole.mp4", frames, audio, 24000)
    with ClipWriter(tmp_path / "parts.mp4", 64, 48, audio, 24000) as clip:
        for start in range(0, 30, 7):
            clip.write(frames[start : start + 7])
    assert clip.frames == 30
    assert whole.read_bytes() == (tmp_path / "parts.mp4").read_bytes()


def test_tags_are_kept_and_the_index_is_in_front(tmp_path):
    tags = {"prompt": '{"1": {"class_type": "A;=#\\\\"}}', "workflow": "{}"}
    path = write(tmp_path / "clip.mp4", make_frames(4), click(1, 0, 48000), 48000, metadata=tags)
    assert tags.items() <= probe(path).metadata.items()
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_missing_audio_is_silence(tmp_path):
    path = write(tmp_path / "clip.mp4", make_frames(16), np.zeros((1, 0), np.float32), 24000)
    assert probe(path).audio_seconds == pytest.approx(1.0, abs=1e-4)
    assert not audio_of(path).any()


@pytest.mark.parametrize("size", [(65, 48), (64, 47)])
def test_odd_sizes_are_explained(tmp_path, size):
    with pytest.raises(ValueError, match="even width and height"):
        write(tmp_path / "clip.mp4", make_frames(2, *size), click(1, 0, 48000), 48000)
    assert not list(tmp_path.iterdir())


def test_wrong_shape_and_no_frames_are_errors(tmp_path):
    audio = click(1, 0, 48000)
    with (
        pytest.raises(ValueError, match="Expected frames"),
        ClipWriter(tmp_path / "a.mp4", 64, 48, audio, 48000) as clip,
    ):
        clip.write(make_frames(2, 32, 48))
    with pytest.raises(ValueError, match="No frame"), ClipWriter(tmp_path / "b.mp4", 64, 48, audio, 48000):
        pass
    assert not list(tmp_path.iterdir())


def test_an_exception_leaves_only_the_old_file(tmp_path):
    path = write(tmp_path / "clip.mp4", make_frames(4), click(1, 0, 48000), 48000)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), ClipWriter(path, 64, 48, click(1, 0, 48000), 48000) as clip:
        clip.write(make_frames(40))
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_probe_measures_files_without_an_index(tmp_path):
    with wave.open(str(tmp_path / "voice.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 16000 * 3 // 2))
    info = probe(tmp_path / "voice.wav")
    assert (info.audio_seconds, info.sample_rate, info.frames, info.video_seconds) == (1.5, 16000, 0, 0.0)
    clip = write(tmp_path / "clip.mp4", make_frames(25), click(2, 0.5, 48000), 48000)
    with av.open(str(clip)) as source, av.open(str(tmp_path / "clip.mkv"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    info = probe(tmp_path / "clip.mkv")
    assert (info.frames, info.video_seconds) == (25, pytest.approx(25 / 16, abs=0.01))


def test_probe_reports_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match="no media file"):
        probe(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(ValueError, match="cannot be read"):
        probe(tmp_path / "text.mp4")


def test_errors_in_the_encoding_thread_are_raised(tmp_path):
    not_numbers = np.full((1, 48, 64, 3), "x")
    for parts in ([not_numbers], [not_numbers, make_frames(1)]):
        with (
            pytest.raises(TypeError),
            ClipWriter(tmp_path / "clip.mp4", 64, 48, click(1, 0.5, 16000), 16000) as clip,
        ):
            for part in parts:
                clip.write(part)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("rate", "channels"), [(8_000, 1), (16_000, 1), (44_100, 2), (48_000, 2), (22_050, 6)]
)
def test_resampling_in_parts_equals_resampling_at_once(
    rate: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = np.random.default_rng(1).normal(0, 0.1, (channels, 5 * rate + 7)).astype(np.float32)
    monkeypatch.setattr(encoder, "_PART_SAMPLES", audio.shape[1])
    whole = np.concatenate([*encoder.resample_in_parts(audio, rate)], axis=1)
    monkeypatch.setattr(encoder, "_PART_SAMPLES", 10_007)
    parts = list(encoder.resample_in_parts(audio, rate))
    assert len(parts) > 4
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-6)
    assert abs(whole.shape[1] - audio.shape[1] * 48_000 / rate) <= 2
