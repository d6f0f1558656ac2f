"""Media types by file name and back. Unlike `mimetypes` itself, the same on every machine."""

from __future__ import annotations

import mimetypes

# An instance does not read the system's files. What it lacks differs from one Python to the next.
_TYPES = mimetypes.MimeTypes()
for _suffix, _type in {
    ".avif": "image/avif",
    ".flac": "audio/flac",
    ".glb": "model/gltf-binary",
    ".m4a": "audio/mp4",
    ".mkv": "video/x-matroska",
    ".ogg": "audio/ogg",
    ".opus": "audio/opus",
    ".srt": "application/x-subrip",
    ".vtt": "text/vtt",
    ".wav": "audio/wav",
    ".webp": "image/webp",
}.items():
    _TYPES.add_type(_type, _suffix)


def media_type(name: str) -> str:
    """The media type of a file, by its name; `application/octet-stream` if that says nothing."""
    return _TYPES.guess_type(name)[0] or "application/octet-stream"


def extension(media_type: str) -> str:
    """The usual extension of such a file, with its dot; empty if none is known."""
    return _TYPES.guess_extension(media_type) or ""
