"""The length that a recording says it has, which is more than there is of one that was cut off."""

from __future__ import annotations

import os
import re
from typing import BinaryIO, NamedTuple

import av
from av.container import InputContainer

from .media_file import peek

_EXACT = {"aiff", "au", "caf", "flac", "mov,mp4,m4a,3gp,3g2,mj2", "ogg", "tta", "w64", "wav", "wv"}
"""Formats that state the length of a stream; that of others may be FFmpeg's estimate."""
_COUNTED = {"avi", "caf"}
"""Formats that state how many frames there are; FFmpeg limits the seconds to those of the file's size."""
_OF_THE_FILE = {"flv", "matroska,webm"}
"""Formats that state the length of the whole file, which is the video's if it has one."""
_STREAMED = 2**31 - 2**16
"""Bytes of audio from which on a header that was written before the audio was known says just "many"."""
_SEARCHED = 2**16
_MP3_FRAMES = re.compile(rb"(?:Xing|Info)\0\0\0[\1\3\5\7\x09\x0b\x0d\x0f](....)", re.S)
"""Where an MP3 states how many frames it has."""
_MP3_PADDING = 5
"""Frames of an MP3 that may be padding, which is not decoded."""
_MOST_CHUNKS = 1000
_PAGE, _LAST_PAGE = b"OggS", 4
"""What a page of an Ogg file starts with, and the mark of a stream's last one."""
_LONGEST_PAGE = 27 + 255 + 255 * 255


class _Chunks(NamedTuple):
    """How a format writes its parts.

    Attributes:
        start: where the first one is.
        name: the bytes of a name, of which the first four tell what it is.
        size: the bytes of a size.
        counts_itself: whether a size counts name and size too.
        step: what the positions are multiples of.
    """

    start: int
    name: int
    size: int
    counts_itself: bool
    step: int


_CHUNKS = {"wav": _Chunks(12, 4, 4, False, 2), "w64": _Chunks(40, 16, 8, True, 8)}


def stated_seconds(container: InputContainer, stream: av.AudioStream, file: BinaryIO, start: int) -> float:
    """The seconds that the file says it has; 0 if it does not say.

    Args:
        container: the file as FFmpeg has opened it.
        stream: the one that is decoded.
        file: the same file.
        start: where in it the audio starts.
    """
    name, bits = container.format.name, stream.codec_context.bit_rate or 0
    seconds = 0.0
    if name == "mp3":
        return _seconds_of_mp3(peek(file, _SEARCHED), stream.codec_context.sample_rate)
    if name in _EXACT and stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    if name in _COUNTED and stream.time_base:
        seconds = max(seconds, float(stream.frames * stream.time_base))
    if name in _OF_THE_FILE and not container.streams.video:
        # Its duration is the time of its end.
        seconds = ((container.duration or 0) - (container.start_time or 0)) / av.time_base
    if seconds * bits / 8 > _STREAMED:
        return 0
    if name in _CHUNKS and bits:
        seconds = max(seconds, _bytes_of_audio(file, start, _CHUNKS[name]) * 8 / bits)
    return seconds


def is_cut_off(container: InputContainer, file: BinaryIO) -> bool:
    """Whether an Ogg file, which states no length, lacks its last page or the end of it."""
    if container.format.name != "ogg":
        return False
    size = os.fstat(file.fileno()).st_size
    tail = peek(file, _LONGEST_PAGE, max(0, size - _LONGEST_PAGE))
    page = tail[tail.rfind(_PAGE) :]
    if not page.startswith(_PAGE) or len(page) < 27:
        return True
    # Its header ends with the sizes of its parts, and how many there are.
    whole = 27 + page[26] + sum(page[27 : 27 + page[26]])
    return not page[5] & _LAST_PAGE or len(page) < whole


def _seconds_of_mp3(head: bytes, rate: int) -> float:
    """FFmpeg estimates the length of a file that is longer than its frames."""
    match = _MP3_FRAMES.search(head)
    if not match or not rate:
        return 0
    frames = int.from_bytes(match[1], "big") - _MP3_PADDING
    return frames * (1152 if rate >= 32_000 else 576) / rate


def _bytes_of_audio(file: BinaryIO, start: int, chunks: _Chunks) -> int:
    """The bytes of audio that the file says it has, of which FFmpeg sees those there are; 0 if unknown."""
    place = start + chunks.start
    head = chunks.name + chunks.size
    for _ in range(_MOST_CHUNKS):
        chunk = peek(file, head, place)
        if len(chunk) < head:
            break
        size = int.from_bytes(chunk[chunks.name :], "little") - (head if chunks.counts_itself else 0)
        if chunk[:4] == b"data":
            return size if 0 <= size < _STREAMED else 0
        place += head + max(0, size)
        place += -(place - start) % chunks.step
    return 0
