"""Adding chapters and captions to a finished film without encoding it again."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import imageio_ffmpeg

from .captions import write_srt
from .encoder import MUXING, SAMPLE_RATE

Span = tuple[float, float, str]
"""Start and end in seconds, and a text."""

_POLL_SECONDS = 0.1


def add_chapters_and_captions(
    reel: Path,
    path: Path,
    chapters: Sequence[Span],
    cues: Sequence[Span],
    metadata: Mapping[str, str],
    waiting: Callable[[], None],
) -> None:
    """Copy the film `reel` to `path` with chapters, soft captions and tags.

    `waiting` is called while it runs and may raise to stop it. Raises RuntimeError if ffmpeg fails.
    """
    described = reel.with_suffix(".ffmeta")
    described.write_text(_ffmetadata(chapters, metadata), encoding="utf-8")
    # PyAV can write neither chapters nor mov_text in all the versions ComfyUI allows.
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", "-i", str(reel)]
    command += ["-f", "ffmetadata", "-i", str(described)]
    if cues:
        subtitles = reel.with_suffix(".srt")
        write_srt(cues, subtitles)
        command += ["-i", str(subtitles)]
    command += ["-map", "0:v", "-map", "0:a", *(["-map", "2:s"] if cues else [])]
    command += ["-map_metadata", "1", "-map_chapters", "1", "-c", "copy", "-c:s", "mov_text"]
    for option, value in MUXING.items():
        command += [f"-{option}", value]
    _run([*command, "-f", "mp4", str(path)], waiting)


def _ffmetadata(chapters: Sequence[Span], metadata: Mapping[str, str]) -> str:
    lines = [";FFMETADATA1", *(f"{_escaped(key)}={_escaped(value)}" for key, value in metadata.items())]
    for start, end, title in chapters:
        # In samples: a millisecond may lie before the chapter's first picture.
        times = f"START={round(start * SAMPLE_RATE)}\nEND={round(end * SAMPLE_RATE)}"
        lines.append(f"[CHAPTER]\nTIMEBASE=1/{SAMPLE_RATE}\n{times}\ntitle={_escaped(title)}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    escaped = "".join(f"\\{letter}" if letter in "=;#\\\n" else letter for letter in text)
    # ffmpeg takes the next line for a part of this one if a backslash is in front of it, escaped or not.
    return f"{escaped} " if text.endswith("\\") else escaped


def _run(command: list[str], waiting: Callable[[], None]) -> None:
    with tempfile.TemporaryFile() as errors, subprocess.Popen(command, stderr=errors) as process:
        try:
            while process.poll() is None:
                waiting()
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
