"""Media types by file name suffix, the same on every machine."""

from __future__ import annotations

import mimetypes
from pathlib import PurePath

# An instance of its own does not read the machine's lists, which differ.
_TYPES = mimetypes.MimeTypes()
for _suffix, _type in {
    ".avif": "image/avif",
    ".flac": "audio/flac",
    ".glb": "model/gltf-binary",
    ".mkv": "video/x-matroska",
    ".ogg": "audio/ogg",
    ".opus": "audio/opus",
    ".wav": "audio/wav",
    ".webp": "image/webp",
}.items():
    _TYPES.add_type(_type, _suffix)


def media_type(name: str) -> str:
    """The media type of a file of this name; `application/octet-stream` if its suffix is unknown."""
    return _TYPES.guess_type(PurePath(name).name)[0] or "application/octet-stream"


def extension(media_type: str) -> str:
    """The usual suffix of files of a media type, with its dot; empty if the type is unknown."""
    return _TYPES.guess_extension(media_type) or ""
