"""The texts in the metadata of images and videos."""

from __future__ import annotations

from pathlib import Path

import av
import av.error
from PIL import Image

from ..story.results import Kind

UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    SyntaxError,
    av.error.FFmpegError,
    Image.DecompressionBombError,
)
"""What Pillow and PyAV raise of files that are no images or videos, are damaged, or are not there."""


def tags_of(path: Path) -> dict[str, str]:
    """The tags of an image or video, as ComfyUI and the nodes write them; empty if it cannot be read."""
    try:
        if path.suffix == Kind.STILL.suffix:
            with Image.open(path) as image:
                return {str(name): value for name, value in image.info.items() if isinstance(value, str)}
        with av.open(str(path)) as container:
            return dict(container.metadata)
    except UNREADABLE:
        return {}
