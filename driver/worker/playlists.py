"""Files that make FFmpeg, with which ComfyUI reads audio and video, open other files: none of a job's may."""

from __future__ import annotations

from pathlib import Path

_PROBED = 2 * 2**20
"""Bytes at the start of a file by which FFmpeg tells its format, twice over."""
_MARKS = (b"#EXTM3U", b"ffconcat version")
_DASH = b"dash:profile:"


def refuse_playlist(path: Path) -> None:
    """Raises ValueError if a file is a list of other files, which could be any on this machine."""
    with path.open("rb") as file:
        start = file.read(_PROBED)
    # Tags may stand in front of a playlist.
    if any(mark in start for mark in _MARKS) or _DASH in start.lower():
        raise ValueError(
            "is a playlist, which makes ComfyUI open other files: send the audio or video itself."
        )
