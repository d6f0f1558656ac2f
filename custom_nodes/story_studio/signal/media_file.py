"""Files that nobody has checked, as FFmpeg may read them: their own bytes alone, under a harmless name."""

from __future__ import annotations

import io
from codecs import getincrementaldecoder
from functools import cache
from pathlib import Path
from typing import BinaryIO

import av

_LONGEST_SUFFIX = 6
_TEXT = 400
"""Bytes at the start of a file that show whether it is a text."""


class MediaFile:
    """A part of a file, from `start` on, under a name that tells FFmpeg its suffix and nothing else."""

    def __init__(self, file: BinaryIO, path: Path, start: int = 0) -> None:
        suffix = path.suffix.lower()
        self.name = "recording" + (suffix if suffix[1:].isalnum() and len(suffix) <= _LONGEST_SUFFIX else "")
        self._file, self._start = file, start
        file.seek(start)

    def read(self, size: int = -1) -> bytes:
        """As of any file."""
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of any file; positions count from `start`."""
        return self._file.seek(offset + (self._start if whence == io.SEEK_SET else 0), whence) - self._start

    def tell(self) -> int:
        """As of any file; positions count from `start`."""
        return self._file.tell() - self._start


def restricted_to(containers: str, audio_only: bool = True) -> dict[str, str]:
    """Options that let FFmpeg open the file itself and no other one, and no address.

    Args:
        containers: names of demuxers, joined by commas, that read nothing but the file.
        audio_only: decodes no image: FFmpeg would decode a cover of any size to learn its size.
    """
    options = {"format_whitelist": containers, "protocol_whitelist": "none"}
    return options | ({"codec_whitelist": _audio_codecs()} if audio_only else {})


def peek(file: BinaryIO, size: int = _TEXT, start: int = 0) -> bytes:
    """The first bytes of a file that FFmpeg may be reading, or those from `start` on."""
    position = file.tell()
    file.seek(start)
    data = file.read(size)
    file.seek(position)
    return data


def what_else(head: bytes) -> str:
    """What a file that is no media is, by its first bytes: "empty", a "text", or "" for anything else."""
    if not head:
        return "empty"
    try:
        # The last character may be cut off.
        text = getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return ""
    return "text" if all(letter.isprintable() or letter.isspace() for letter in text) else ""


@cache
def _audio_codecs() -> str:
    return ",".join(name for name in sorted(av.codecs_available) if _decodes_audio(name))


def _decodes_audio(codec: str) -> bool:
    try:
        return av.Codec(codec, "r").type == "audio"
    # It only encodes.
    except ValueError:
        return False
