"""Adding chapters and captions to an encoded film without re-encoding it."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import imageio_ffmpeg

from .encoder import MUXING, SAMPLE_RATE
from .timed_text import Track, write_timed_text

Chapter = tuple[float, float, str]
"""Start and end in seconds, and the title."""

_POLL_SECONDS = 0.1


def add_chapters_and_captions(
    reel: Path,
    path: Path,
    chapters: Sequence[Chapter],
    tracks: Sequence[Track],
    metadata: Mapping[str, str],
    while_running: Callable[[], None],
) -> None:
    """Copies the film `reel` to `path` with chapters, soft captions in any number of languages, and tags.

    Players show no captions until a viewer chooses a track. A track whose language is more than MP4's codes
    can say, such as zh-Hant, has it as its title.

    `while_running` is called periodically and may raise to cancel. Raises RuntimeError if ffmpeg fails.
    """
    tracks = [(language, cues) for language, cues in tracks if cues]
    metadata_file = reel.with_suffix(".ffmeta")
    metadata_file.write_text(_ffmetadata(chapters, metadata), encoding="utf-8")
    # Not all PyAV versions that ComfyUI allows can write chapters and mov_text.
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", "-i", str(reel)]
    command += ["-f", "ffmetadata", "-i", str(metadata_file)]
    if tracks:
        captions = reel.with_suffix(".captions.mp4")
        write_timed_text(tracks, captions)
        command += ["-i", str(captions)]
    command += ["-map", "0:v", "-map", "0:a", *(["-map", "2:s"] if tracks else [])]
    command += ["-map_metadata", "1", "-map_chapters", "1", "-c", "copy"]
    for number, (language, _) in enumerate(tracks):
        if "-" in language:
            command += [f"-metadata:s:s:{number}", f"title={language}"]
    for option, value in MUXING.items():
        command += [f"-{option}", value]
    _run([*command, "-f", "mp4", str(path)], while_running)


def _ffmetadata(chapters: Sequence[Chapter], metadata: Mapping[str, str]) -> str:
    lines = [";FFMETADATA1", *(f"{_escaped(key)}={_escaped(value)}" for key, value in metadata.items())]
    for start, end, title in chapters:
        # In samples, because a rounded millisecond can fall before the first frame of the chapter.
        times = f"START={round(start * SAMPLE_RATE)}\nEND={round(end * SAMPLE_RATE)}"
        lines.append(f"[CHAPTER]\nTIMEBASE=1/{SAMPLE_RATE}\n{times}\ntitle={_escaped(title)}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    escaped = "".join(f"\\{letter}" if letter in "=;#\\\n" else letter for letter in text)
    # ffmpeg treats the next line as a continuation after any trailing backslash, even an escaped one.
    return f"{escaped} " if text.endswith("\\") else escaped


def _run(command: list[str], while_running: Callable[[], None]) -> None:
    with tempfile.TemporaryFile() as errors, subprocess.Popen(command, stderr=errors) as process:
        try:
            while process.poll() is None:
                while_running()
                try:
                    process.wait(_POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
        except BaseException:
            process.kill()
            raise
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(
                f"ffmpeg could not finish the film: {errors.read().decode(errors='replace').strip()}"
            )
