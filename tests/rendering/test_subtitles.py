"""Captions as .srt and .vtt files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from driver.rendering.subtitles import write_subtitles

HOSTILE = r"{\b1}Bold{\p1} <i>&amp; {Y:b} \N \h 00:00:01,000 --> 00:00:02,000 & <3 NOTE \\"
CUES = [
    [0.5, 2.25, HOSTILE, [[0.5, 1.0, "Bold"]]],
    [2.25, 4.0, "1\n\n2\n00:00:09,000 --> 00:00:10,000", []],
    [4.0, 3725.5, "שלום עולם\nمرحبا", []],
]


def read_by_ffmpeg(path: Path) -> list[list[str]]:
    """The lines of each caption, and its times first, as ffmpeg, and with it most players, reads them."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-f", "srt", "-"]
    srt = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    # How it escapes a brace for libass.
    srt = srt.replace("\\{{}", "{").replace("\u2060", "").replace("\r", "")
    return [cue.split("\n")[1:] for cue in srt.strip().split("\n\n")]


@pytest.mark.parametrize("suffix", ["srt", "vtt"])
def test_captions_are_read_back_as_they_are_written(tmp_path: Path, suffix: str):
    write_subtitles({"": CUES}, tmp_path)
    assert read_by_ffmpeg(tmp_path / f"film.{suffix}") == [
        ["00:00:00,500 --> 00:00:02,250", HOSTILE],
        ["00:00:02,250 --> 00:00:04,000", "1", "2", "00:00:09,000 --> 00:00:10,000"],
        ["00:00:04,000 --> 01:02:05,500", "שלום עולם", "مرحبا"],
    ]


def test_each_language_has_its_files_and_those_of_others_are_removed(tmp_path: Path):
    others = [tmp_path / name for name in ("film.txt", "filmed.srt", "film.mp4")]
    for path in others:
        path.write_text("kept")
    names = {path.name for path in write_subtitles({"": CUES, "de": CUES, "pt-BR": CUES}, tmp_path)}
    assert names == {f"film{part}.{kind}" for part in ("", ".de", ".pt-BR") for kind in ("srt", "vtt")}
    assert {path.name for path in write_subtitles({"fr": CUES, "de": []}, tmp_path)} == {
        "film.fr.srt",
        "film.fr.vtt",
    }
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"film.fr.srt", "film.fr.vtt"} | {path.name for path in others}


def test_what_is_no_language_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="not a language"):
        write_subtitles({"../de": CUES}, tmp_path)
    assert not list(tmp_path.iterdir())
