"""Data URIs, as browsers, libraries and people write them, as files."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

from ..media_types import extension

MAX_CHARACTERS = 32 * 2**20
"""A whole job of RunPod has fewer, and a whole story file."""
_MAX_HEADER = 1000
_PART = 2**16
_WRONG_HEADER = "is not a data URI: write it like data:audio/mpeg;base64,..."
_BLANKS = b" \t\r\n\f\v"
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_ESCAPES = [
    (escape, char.encode())
    for char in "+/=\r\n\t "
    for escape in (f"%{ord(char):02X}".encode(), f"%{ord(char):02x}".encode())
]
"""All that base64 has besides letters, digits and what is never escaped."""
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]{1,4}")


def is_data_uri(text: str) -> bool:
    """Whether a text is meant as a data URI; `data` may be in capitals."""
    return text[:5].lower() == "data:"


def save_data_uri(text: str, folder: Path) -> Path:
    """The content of a data URI as a file in `folder`. Its name is what an error calls it.

    Raises:
        ValueError: it cannot be decoded.
    """
    media_type, content = decode(text)
    target = folder / f"the data{extension(media_type)}"
    target.write_bytes(content)
    return target


def decode(text: str) -> tuple[str, bytes]:
    """The media type of a data URI, empty if it has none, and its content.

    Blanks, quoted parameters, the URL-safe alphabet, percent-encoding and missing padding are accepted.

    Raises:
        ValueError: it is too large, or cannot be decoded.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"is larger than {MAX_CHARACTERS // 2**20} MB: send it as an address.")
    comma = _end_of_header(text)
    media_type, *parameters = (part.strip() for part in unquote(text[5:comma]).split(";"))
    body = text[comma + 1 :]
    content = _from_base64(body) if _is_base64(parameters) else _unescaped(body)
    if not content:
        raise ValueError("is a data URI without data: encode the file again.")
    return media_type.lower(), content


def _end_of_header(text: str) -> int:
    """Where the first comma is that is not within quotes, as in `codecs="vp8,opus"`."""
    quoted = False
    for at in range(5, min(len(text), _MAX_HEADER)):
        quoted ^= text[at] == '"'
        if text[at] == "," and not quoted:
            return at
    # A quote that is not closed ends nothing.
    if (comma := text.find(",", 5, _MAX_HEADER)) < 0:
        raise ValueError(_WRONG_HEADER)
    return comma


def _is_base64(parameters: list[str]) -> bool:
    words = [parameter.lower() for parameter in parameters]
    if "base64" in words[:-1]:
        raise ValueError(f"{_WRONG_HEADER}; `base64` comes last.")
    return words[-1:] == ["base64"]


def _unescaped(body: str) -> bytes:
    # In parts, because `unquote_to_bytes` needs a hundred bytes for each escape.
    parts: list[bytes] = []
    at = 0
    while at < len(body):
        end = at + _PART
        cut = body.find("%", end - 2, end)
        end = cut if cut > 0 else end
        parts.append(unquote_to_bytes(body[at:end].encode(errors="replace")))
        at = end
    return b"".join(parts)


def _from_base64(body: str) -> bytes:
    encoded = body.encode(errors="replace")
    for escape, char in _ESCAPES if b"%" in encoded else ():
        encoded = encoded.replace(escape, char)
    digits = encoded.translate(_FROM_URL_SAFE, _BLANKS).rstrip(b"=")
    try:
        return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except binascii.Error:
        wrong = _NOT_BASE64.search(digits)
    shown = wrong[0].decode(errors="replace") if wrong else ""
    reason = f"{shown!r} is not in its alphabet" if wrong else "its end is missing"
    raise ValueError(f"holds broken base64 ({reason}): encode the file again.")
