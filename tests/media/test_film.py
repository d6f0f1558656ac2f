"""Films: no drift, and nothing lost at the joints."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from story_studio.media.clip_writer import ClipWriter
from story_studio.media.film import Shot, assemble
from story_studio.media.probe import probe, to_seconds

COLOURS = ((220, 30, 30), (30, 200, 40), (40, 60, 220))


def shot(
    folder: Path, number: int, frames: int = 20, *, size=(64, 48), rate=24000, fps=16, click=0.25, text=""
) -> Shot:
    """A clip of one colour whose left edge brightens, with a click in the audio."""
    width, height = size
    frames_array = np.tile(np.array(COLOURS[number % 3], np.uint8), (frames, height, width, 1))
    frames_array[:, :, : width // 4] = np.linspace(0, 255, frames).astype(np.uint8)[:, None, None, None]
    waveform = np.zeros((1, rate * frames // fps), np.float32)
    waveform[0, min(int(click * rate), waveform.shape[1] // 2)] = 1.0
    path = folder / f"shot-{number}-{frames}-{width}-{fps}.mp4"
    if not path.exists():
        with ClipWriter(path, width, height, waveform, rate, fps=fps) as clip:
            clip.write(frames_array)
    return Shot(path, f"Scene {number + 1}", text)


def frames_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)


def audio_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


def click_seconds(path: Path) -> list[float]:
    loud = np.flatnonzero(np.abs(audio_of(path)[0]) > 0.5) / 48000
    return [float(at) for i, at in enumerate(loud) if i == 0 or at - loud[i - 1] > 0.02]


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Shot]:
    folder = tmp_path_factory.mktemp("shots")
    return [shot(folder, 0, 20), shot(folder, 1, 33), shot(folder, 2, 27)]


@pytest.mark.parametrize("channels", [2, 6, 8, 12])
def test_a_clip_whose_audio_is_damaged_and_too_loud(channels, clips, tmp_path):
    """A clip from elsewhere, with NaN, and a mix of its channels that exceeds full scale."""
    samples = np.tile(0.9 * np.sin(np.arange(60_000, dtype=np.float32) / 30)[:, None], channels)
    samples[30_000:30_100] = np.nan
    path = tmp_path / "own.mov"
    with av.open(str(clips[0].path)) as source, av.open(str(path), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        layout = "stereo" if channels == 2 else f"{channels}c"
        audio = target.add_stream("pcm_f32le", rate=48000, layout=layout)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                target.mux(packet)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "flt", layout)
        frame.sample_rate = 48000
        target.mux([*audio.encode(frame), *audio.encode(None)])
    assemble([Shot(path, "One", ""), clips[1]], tmp_path / "film.mp4")
    written = audio_of(tmp_path / "film.mp4")
    assert np.isfinite(written).all()
    assert 0.5 < np.abs(written[:, 5000:25_000]).max() <= 1.01


def test_plain_cuts_copy_every_frame_bit_by_bit(clips, tmp_path):
    assemble(clips, tmp_path / "film.mp4")
    assert np.array_equal(
        frames_of(tmp_path / "film.mp4"), np.concatenate([frames_of(clip.path) for clip in clips])
    )
    with av.open(str(tmp_path / "film.mp4")) as container:
        seconds = [frame.time for frame in container.decode(video=0)]
    assert seconds == pytest.approx([i / 16 for i in range(80)])


@pytest.mark.parametrize("join", ["cut", "crossfade"])
def test_length_and_synchronisation(clips, tmp_path, join):
    assemble(clips, tmp_path / "film.mp4", join=join)
    info = probe(tmp_path / "film.mp4")
    assert (info.frames, info.video_seconds) == (80, 5.0)
    assert info.audio_seconds == pytest.approx(5.0, abs=1e-3)
    assert (info.sample_rate, info.channels) == (48000, 2)
    assert click_seconds(tmp_path / "film.mp4") == pytest.approx(
        [0.25, 1.25 + 0.25, 53 / 16 + 0.25], abs=1e-3
    )


def test_a_crossfade_is_centred_and_holds_the_frames_at_the_joint(clips, tmp_path):
    assemble(clips, tmp_path / "film.mp4", join="crossfade", crossfade_seconds=0.5)
    film = frames_of(tmp_path / "film.mp4")
    red = film[16:25, 30, 50, 0]
    assert red == pytest.approx([208, 184, 161, 137, 113, 90, 66, 42, 30], abs=6)
    edge = film[:, 30, 4, 0]
    whole = np.concatenate([frames_of(clip.path)[:, 30, 4, 0] for clip in clips])
    assert np.abs(edge[:16] - whole[:16]).max() <= 4
    # The first shot keeps moving while it fades; after the cut its last frame is held.
    assert edge[18] == pytest.approx(whole[18] * 11 / 16 + whole[20] * 5 / 16, abs=6)
    assert edge[21] == pytest.approx(whole[21] * 11 / 16 + whole[19] * 5 / 16, abs=6)


def test_a_crossfade_is_limited_by_the_shots(tmp_path):
    clips = [shot(tmp_path, 0, 20), shot(tmp_path, 1, 3), shot(tmp_path, 2, 20), shot(tmp_path, 0, 1)]
    assemble(clips, tmp_path / "film.mp4", join="crossfade", crossfade_seconds=4)
    assert probe(tmp_path / "film.mp4").frames == 44


def test_other_sizes_and_rates_are_converted(tmp_path):
    clips = [
        shot(tmp_path, 0, 16),
        shot(tmp_path, 1, 48, size=(48, 96), rate=44100, fps=24),
        shot(tmp_path, 2, 16),
    ]
    assemble(clips, tmp_path / "film.mp4")
    info = probe(tmp_path / "film.mp4")
    assert (info.width, info.height, info.fps, info.frames) == (64, 48, 24, 96)
    assert click_seconds(tmp_path / "film.mp4") == pytest.approx([0.25, 1.25, 3.25], abs=2e-3)
    letterboxed = frames_of(tmp_path / "film.mp4")[45]
    assert letterboxed[24, 34] == pytest.approx(COLOURS[1], abs=12)
    assert letterboxed[24, 5] == pytest.approx((0, 0, 0), abs=6)


def test_no_drift_over_many_shots(tmp_path):
    # 25 frames a second, 44.1 kHz, and audio that is too short or too long: nothing divides evenly.
    clips = [shot(tmp_path, i, 7 + i % 3, fps=25, rate=44100, click=0.1) for i in range(60)]
    assemble(clips, tmp_path / "film.mp4")
    starts = np.cumsum([0] + [7 + i % 3 for i in range(60)]) / 25
    info = probe(tmp_path / "film.mp4")
    assert info.video_seconds == pytest.approx(starts[-1])
    assert info.audio_seconds == pytest.approx(starts[-1], abs=1e-3)
    assert click_seconds(tmp_path / "film.mp4") == pytest.approx(list(starts[:-1] + 0.1), abs=2e-3)


def test_chapters_captions_and_tags(clips, tmp_path):
    texts = ["First, we begin.", "", "„Zum Schluß“ — {the end} = 海; #3\\"]
    shots = [
        Shot(clip.path, title, text)
        for clip, title, text in zip(clips, ["A; = # \\", "", "三"], texts, strict=True)
    ]
    tags = {"prompt": '{"a": "b;=#\\n"}\nsecond line', "workflow": "{}"}
    assemble(shots, tmp_path / "film.mp4", title="The = Film", metadata=tags)
    info = probe(tmp_path / "film.mp4")
    assert info.chapters == ((0.0, 1.25, "A; = # \\ "), (1.25, 3.3125, "Scene 2"), (3.3125, 5.0, "三"))
    assert (tags | {"title": "The = Film"}).items() <= info.metadata.items()
    assert info.subtitles == 1
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert [stream.type for stream in container.streams][:3] == ["video", "audio", "subtitle"]
        stream = container.streams.subtitles[0]
        cues = [
            (to_seconds(packet.pts, packet.time_base), bytes(packet)[2:].decode())
            for packet in container.demux(stream)
            if packet.size > 2
        ]
    assert [text for _, text in cues] == [texts[0], texts[2]]
    assert [float(start) for start, _ in cues] == pytest.approx([0, 3.3125], abs=0.001)
    data = (tmp_path / "film.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


PLAIN = [
    "I <3 you & a < b > c, <b>bold</b> &amp; &lt;",
    "{still} {the end}",
    "00:00:01,000 --> 00:00:02,000",
    "WEBVTT",
    "NOTE this",
    "1",
    "- שלום, Anna (בת 32)!",
]


def read_by_ffmpeg(film: Path) -> list[str]:
    """The captions as ffmpeg, and with it most players, reads them."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-i",
        str(film),
        "-map",
        "0:s",
        "-f",
        "srt",
        "-",
    ]
    srt = subprocess.run(command, capture_output=True, check=True).stdout.decode().replace("\r", "")
    return [" ".join(cue.split("\n")[2:]) for cue in srt.strip().split("\n\n")]


def test_captions_are_shown_as_they_are_written(clips, tmp_path):
    markup = ["{\\i1}C:\\New{\\i0} a\\Nb \\h \\{x\\}", "a\x00b\rc\ud800d\u2028e\tf"]
    shots = [Shot(clips[0].path, "", text) for text in [*PLAIN, *markup]]
    assemble(shots, tmp_path / "film.mp4")
    shown = [text.replace("\u2060", "") for text in read_by_ffmpeg(tmp_path / "film.mp4")]
    assert shown == [*PLAIN, markup[0], "ab cd e f"]
    # What stands in the file is what players that do not use ffmpeg show.
    data = (tmp_path / "film.mp4").read_bytes()
    assert all(text.encode() in data.replace("\u2060".encode(), b"") for text in shown if len(text) <= 42)


def test_text_that_cannot_be_seen_fails_no_film(clips, tmp_path):
    shots = [Shot(clips[0].path, "\u200b", "\u200b"), Shot(clips[1].path, "B", "Hello.")]
    assemble(shots, tmp_path / "film.mp4", title="\u200b")
    info = probe(tmp_path / "film.mp4")
    assert [title for _, _, title in info.chapters] == ["Scene 1", "B"]
    assert "title" not in info.metadata
    assert read_by_ffmpeg(tmp_path / "film.mp4") == ["Hello."]


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("a\rb", "a b"),
        ("a\x00b\x07", "ab"),
        ("a\nb\u2029c", "a b c"),
        ("\ud800a\ud83d\ude00\ufffe", "a😀"),
        ("a\u202eb", "ab"),
        ("; # = [CHAPTER]", "; # = [CHAPTER]"),
        ("a" + "海" * 120, "a" + "海" * 83 + "…"),
    ],
)
def test_titles_are_whole_and_without_control_characters(clips, tmp_path, title, shown):
    assemble([Shot(clips[0].path, title), clips[1]], tmp_path / "film.mp4", title=title[:40])
    info = probe(tmp_path / "film.mp4")
    assert [title for _, _, title in info.chapters] == [shown, "Scene 2"]
    assert info.metadata["title"] == shown[:40]


def test_chapters_and_captions_can_be_left_out(clips, tmp_path):
    shots = [Shot(clip.path, "x", "Said.") for clip in clips]
    assemble(shots, tmp_path / "film.mp4", chapters=False, captions=False, metadata={"prompt": "{}"})
    info = probe(tmp_path / "film.mp4")
    assert (info.chapters, info.subtitles, info.metadata["prompt"]) == ((), 0, "{}")


@pytest.mark.parametrize("join", ["cut", "crossfade"])
def test_the_same_shots_give_the_same_bytes(clips, tmp_path, join):
    films = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for film in films:
        assemble(clips, film, join=join, title="Film")
    assert films[0].read_bytes() == films[1].read_bytes()


@pytest.mark.parametrize("stop_at", [0.0, 0.5, 0.97])
def test_cancelling_leaves_only_the_old_film(clips, tmp_path, stop_at):
    path = tmp_path / "film.mp4"
    path.write_bytes(b"the old film")
    reported = []

    def progress(done: float) -> None:
        reported.append(done)
        if done >= stop_at:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        assemble(clips, path, progress=progress)
    assert path.read_bytes() == b"the old film"
    assert list(tmp_path.iterdir()) == [path]


def test_progress_rises_to_one(clips, tmp_path):
    reported: list[float] = []
    assemble(clips, tmp_path / "film.mp4", join="crossfade", progress=reported.append)
    assert reported == sorted(reported)
    assert len(reported) > 80
    assert reported[-1] == 1.0


def test_errors_name_the_shot(clips, tmp_path):
    with pytest.raises(ValueError, match="at least one shot"):
        assemble([], tmp_path / "film.mp4")
    with pytest.raises(FileNotFoundError, match="gone.mp4"):
        assemble([*clips, Shot(tmp_path / "gone.mp4")], tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())
