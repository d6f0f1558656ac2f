"""A story file's bytes as text."""

from __future__ import annotations

import codecs

from .places import Unreadable

MAX_BYTES = 32 * 2**20
"""Of a story file; a job of the endpoint, with all its data URIs, has less."""
# The marks of UTF-32 begin like those of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_SAVE = 'save it as UTF-8 ("Encoding" where your editor saves).'


def decode(content: bytes) -> str:
    """The text of a file, with newlines as its only line breaks.

    Raises:
        Unreadable: it is too large, or not text.
    """
    if len(content) > MAX_BYTES:
        what = f"the file is larger than {MAX_BYTES // 2**20} MB: name recordings and images by their paths."
        raise Unreadable(1, what)
    mark = next((mark for mark in _MARKS if content.startswith(mark)), b"")
    encoding = _MARKS.get(mark, "utf-8")
    if not mark and b"\0" in content[:1000]:
        raise Unreadable(1, f"the file is not text, or is UTF-16 without a mark: {_SAVE}")
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise Unreadable(line, f"the file is not {encoding.upper()} (byte 0x{byte:02X}): {_SAVE}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
