"""Several tracks of soft captions in one film."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from story_studio.media.captions import Cue, Word
from story_studio.media.encoder import Encoder
from story_studio.media.mux import add_chapters_and_captions
from story_studio.media.timed_text import language_code


def texts_of(film: Path, track: int) -> list[str]:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(film)]
    command += ["-map", f"0:s:{track}", "-f", "srt", "-"]
    srt = subprocess.run(command, capture_output=True, check=True).stdout.decode().replace("\r", "")
    return ["\n".join(cue.split("\n")[1:]) for cue in srt.strip().split("\n\n")]


def test_each_language_is_a_track_of_its_own_and_only_the_first_is_enabled(tmp_path: Path):
    with Encoder(tmp_path / "reel.mp4", 32, 32, Fraction(24), 2, 30, {}) as encoder:
        for _ in range(24):
            encoder.frame(av.VideoFrame.from_ndarray(np.zeros((48, 32), np.uint8), format="yuv420p"))
            encoder.audio(np.zeros((2, 2000), np.float32))
    tracks = [
        ("en", [Cue(0.25, 0.5, "Hello.", (Word(0.25, 0.5, "Hello."),)), Cue(0.5, 1.0, "Bye.")]),
        ("fr", []),
        ("de", [Cue(0.0, 0.75, "Hallo.")]),
        ("zh-Hant", [Cue(0.0, 1.0, "你好")]),
    ]
    film = tmp_path / "film.mp4"
    add_chapters_and_captions(tmp_path / "reel.mp4", film, [], tracks, {}, lambda: None)
    with av.open(str(film)) as container:
        found = [
            (stream.language, stream.metadata.get("name"), bool(stream.disposition))
            for stream in container.streams.subtitles
        ]
    assert found == [("eng", None, True), ("deu", None, False), ("zho", "zh-Hant", False)]
    assert [texts_of(film, number) for number in range(3)] == [
        ["00:00:00,250 --> 00:00:00,500\nHello.", "00:00:00,500 --> 00:00:01,000\nBye."],
        ["00:00:00,000 --> 00:00:00,750\nHallo."],
        ["00:00:00,000 --> 00:00:01,000\n你好"],
    ]


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("", "und"),
        ("de", "deu"),
        ("fr-CA", "fra"),
        ("yue", "yue"),
        ("EN", "eng"),
        ("no!", "und"),
        ("xx", "und"),
    ],
)
def test_languages_have_the_codes_of_iso_639(language: str, code: str):
    assert language_code(language) == code
