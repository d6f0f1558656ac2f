"""Captions as a track of timed text (3GPP TS 26.245, `tx3g`), which MP4 holds as plain text.

ffmpeg makes such a track from subtitle formats only, and there part of a text can be markup: `<b>`, `{\\i1}`,
`\\N`, a line that looks like a time. Here a text is written as it is, for ffmpeg to copy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from struct import pack

import langcodes

from .captions import Cue

Track = tuple[str, Sequence[Cue]]
"""The language of captions, as BCP 47 or empty, and the captions."""

_MILLISECONDS = 1000
_LONGEST = 2**16 - 1
_UNDETERMINED = "und"
_ENABLED, _IN_MOVIE = 1, 2
_MATRIX = pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
_MARKUP = re.compile(r"\\(?=[\\nNh{}])|\{(?=\\)")


def write_timed_text(tracks: Sequence[Track], path: Path) -> None:
    """Writes an MP4 file with only tracks of captions."""
    samples = [[*_samples(cues)] for _, cues in tracks]
    data = [[_sample(text) for _, text in track] for track in samples]
    kind = _box(b"ftyp", b"isom", pack(">I", 0), b"isom")
    before = _box(b"mdat", *(sample for track in data for sample in track))
    boxes, offset = [], len(kind) + 8
    for number, (language, _) in enumerate(tracks):
        boxes.append(_track(number + 1, language, samples[number], data[number], offset))
        offset += sum(map(len, data[number]))
    length = max(sum(duration for duration, _ in track) for track in samples)
    header = _full_box(
        b"mvhd",
        pack(">4I", 0, 0, _MILLISECONDS, length),
        pack(">IH10x", 1 << 16, 1 << 8) + _MATRIX + pack(">24xI", len(tracks) + 1),
    )
    path.write_bytes(kind + before + _box(b"moov", header, *boxes))


def language_code(language: str) -> str:
    """The code of ISO 639-2/T or 639-3 that MP4 has for a language, from BCP 47; `und` if there is none."""
    try:
        return langcodes.Language.get(language).to_alpha3() if language else _UNDETERMINED
    except (LookupError, ValueError):
        return _UNDETERMINED


def _samples(cues: Sequence[Cue]) -> Iterator[tuple[int, str]]:
    """Durations in milliseconds, and texts; between captions stands an empty one."""
    now = 0
    for start, end, text, *_ in cues:
        first, last = max(now, round(start * _MILLISECONDS)), round(end * _MILLISECONDS)
        if last > first:
            if first > now:
                yield first - now, ""
            yield last - first, text
            now = last


def _sample(text: str) -> bytes:
    # Players that use ffmpeg read even plain text as if it were ASS, where these start markup. A joiner
    # after them, which is invisible, prevents it.
    data = _MARKUP.sub("\\g<0>\u2060", text).encode()[:_LONGEST]
    data = data.decode(errors="ignore").encode()
    return pack(">H", len(data)) + data


def _track(
    number: int, language: str, samples: Sequence[tuple[int, str]], data: Sequence[bytes], offset: int
) -> bytes:
    length = sum(duration for duration, _ in samples)
    sizes = [len(sample) for sample in data]
    table = _box(
        b"stbl",
        _full_box(b"stsd", pack(">I", 1), _description()),
        _full_box(b"stts", pack(">I", len(samples)), *(pack(">2I", 1, duration) for duration, _ in samples)),
        _full_box(b"stsc", pack(">4I", 1, 1, len(samples), 1)),
        _full_box(b"stsz", pack(">2I", 0, len(sizes)), *(pack(">I", size) for size in sizes)),
        _full_box(b"stco", pack(">2I", 1, offset)),
    )
    references = _box(b"dinf", _full_box(b"dref", pack(">I", 1), _full_box(b"url ", flags=1)))
    letters = zip(language_code(language), (10, 5, 0), strict=True)
    code = sum((ord(letter) - 0x60) << shift for letter, shift in letters)
    media = _box(
        b"mdia",
        _full_box(b"mdhd", pack(">4I2H", 0, 0, _MILLISECONDS, length, code, 0)),
        _full_box(b"hdlr", pack(">I4s12x", 0, b"sbtl"), b"\0"),
        _box(b"minf", _full_box(b"nmhd"), references, table),
    )
    # Of several tracks, players that turn captions on take the one that is enabled.
    flags = _ENABLED | _IN_MOVIE if number == 1 else _IN_MOVIE
    header = _full_box(
        b"tkhd", pack(">5I", 0, 0, number, 0, length), bytes(16) + _MATRIX + bytes(8), flags=flags
    )
    return _box(b"trak", header, media)


def _description() -> bytes:
    """White letters on black, centred at the bottom: what ffmpeg writes for captions without a style."""
    centred_at_the_bottom, black, font = pack(">bb", 1, -1), b"\0\0\0\xff", b"Arial"
    style = pack(">3H2B4B", 0, 0, 1, 0, 16, *[255] * 4)
    fonts = _box(b"ftab", pack(">2HB", 1, 1, len(font)), font)
    return _box(b"tx3g", pack(">6xHI", 1, 0), centred_at_the_bottom, black, bytes(8), style, fonts)


def _box(kind: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return pack(">I4s", 8 + len(data), kind) + data


def _full_box(kind: bytes, *content: bytes, flags: int = 0) -> bytes:
    return _box(kind, pack(">I", flags), *content)
