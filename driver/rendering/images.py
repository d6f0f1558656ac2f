"""A scene's own image: checked by decoding it, before anything is rendered."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ..files import sha256_of
from .input_file import InputFile, must_exist

_MAX_PIXELS = 100_000_000


def read_image(path: Path, folder: Path) -> InputFile:
    """Decodes an image.

    Args:
        path: the image.
        folder: an existing folder for a clean copy, if one has to be made.

    Raises:
        ValueError: it is missing, not an image, broken or too large.
    """
    must_exist(path)
    try:
        with Image.open(path) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise ValueError(
                    f"{path.name} has more than {_MAX_PIXELS // 10**6} million pixels: make it smaller."
                )
            image.load()
    except (OSError, SyntaxError, Image.DecompressionBombError):
        raise ValueError(f"{path.name} cannot be read as an image: export it again as PNG or JPEG.") from None
    return InputFile(path, sha256_of(path))
