"""A scene's own image: decoded before anything is rendered, and copied where ComfyUI would misread it."""

from __future__ import annotations

import threading
import warnings as python_warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import ExifTags, Image

from ..files import sha256_of, written_aside
from .image_files import (
    MAX_PIXELS,
    essential_png,
    is_png,
    is_thumbnail,
    open_image,
    too_large,
    unreadable,
    what_it_is_instead,
)
from .image_pixels import (
    converter,
    flattened,
    has_16_bits,
    is_transparent,
    scaled_size,
    srgb_transform,
    white_level,
)
from .input_file import InputFile, must_exist

# What Pillow prints to the terminal is a warning of ours, or an error, or of no interest.
python_warnings.filterwarnings("ignore", module=r"PIL\.")

_MAX_RATIO = 32
_SCALED_PIXELS = 1920 * 1080
"""What a larger image is scaled down to, unless clips are larger than half of this."""
_CLIP_AREAS = 2
"""How many times the pixels of a clip an image may have without being scaled."""
_SMALL = 4
"""A warning is due if the clip has this many times the pixels of the image."""
_BAD_PROFILE = "has a colour profile that cannot be used, so colours may look different: export it as sRGB."
_TRANSPARENT = "is transparent in places, which become white: put it on a background of your own."
_PLAIN_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_PLAIN_MODES = ("1", "L", "P", "RGB", "LA", "PA", "RGBA")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How an image is turned upright, by its EXIF orientation."""


class _Unfit(ValueError):
    """What is wrong with an image, after its name, and what to do."""


class _Decoded(NamedTuple):
    """What is in an image file.

    Attributes:
        clean: 8-bit RGB, upright and of useful size; None if ComfyUI reads just that from the file itself.
        warnings: what the user should know, each to be put after the file's name.
    """

    clean: Image.Image | None
    warnings: list[str]


class _Budget:
    """Limits what several threads hold at the same time."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._freed = threading.Condition()

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Waits until `amount`, at most the limit, is free."""
        with self._freed:
            self._freed.wait_for(lambda: self._free >= amount)
            self._free -= amount
        try:
            yield
        finally:
            with self._freed:
                self._free += amount
                self._freed.notify_all()


_decoding = _Budget(MAX_PIXELS)
"""The pixels that all threads decode at the same time."""


def read_image(path: Path, folder: Path, size: tuple[int, int]) -> InputFile:
    """Decodes an image.

    An image that ComfyUI reads right is used as it is. Of any other a clean PNG is made: the first frame,
    upright, 8-bit sRGB, transparent parts on white, without metadata, and scaled down to two megapixels, or
    to twice the pixels of a clip if that is more.

    Args:
        path: the image.
        folder: an existing folder for the clean copy.
        size: width and height of the story's clips.

    Raises:
        ValueError: it is missing, not an image, broken, too large or too narrow.
    """
    must_exist(path)
    try:
        if instead := what_it_is_instead(path):
            raise _Unfit(instead)
        decoded = _decode_file(path, size)
        sha256 = sha256_of(path)
    except _Unfit as unfit:
        raise ValueError(f"{path.name} {unfit}") from None
    except PermissionError:
        raise ValueError(f"{path.name} may not be read: change its permissions.") from None
    except Exception as error:
        # Pillow's decoders raise anything.
        raise ValueError(f"{path.name} {unreadable(path, error)}") from None
    warnings = tuple(f"{path.name} {warning}" for warning in decoded.warnings)
    if decoded.clean is None:
        return InputFile(path, sha256, warnings=warnings)
    copy = folder / f"{sha256[:24]}-clean.png"
    _save(decoded.clean, copy)
    return InputFile(copy, sha256_of(copy), warnings=warnings)


def _save(image: Image.Image, path: Path) -> None:
    # The same pixels must be the same bytes on every processor; other strategies than run lengths may search
    # for matches in another way on each.
    try:
        with written_aside(path) as aside:
            image.save(aside, "PNG", compress_type=zlib.Z_RLE)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(
            f"{path.name} cannot be written ({reason}): free space for temporary files."
        ) from None


def _decode_file(path: Path, size: tuple[int, int]) -> _Decoded:
    try:
        with open_image(path) as image:
            return _decode(image, size)
    except (_Unfit, Image.DecompressionBombError, MemoryError):
        raise
    except Exception:
        # Pillow refuses PNGs with much text or a large colour profile, and those with a damaged text.
        if not is_png(path):
            raise
    essential, lost_profile = essential_png(path)
    with open_image(essential) as image:
        decoded = _decode(image, size, is_original=False)
    return decoded._replace(warnings=[*decoded.warnings, *([_BAD_PROFILE] if lost_profile else [])])


_BAD_PROFILE = (
    "has a colour profile that cannot be used, so its colours may look different: export it as sRGB."
)


def _decode(image: Image.Image, size: tuple[int, int], is_original: bool = True) -> _Decoded:
    width, height = image.size
    _check_size(image)
    with _decoding.hold(width * height):
        target = scaled_size(width, height, max(_SCALED_PIXELS, _CLIP_AREAS * size[0] * size[1]))
        if target != image.size:
            # A JPEG is decoded at a fraction of its size, still no smaller than this.
            image.draft(None, target)
        image.load()
        is_plain = is_original and image.format in _PLAIN_FORMATS and image.mode in _PLAIN_MODES
        turn, has_readable_exif = _orientation(image)
        transform, warnings = None, _warnings(image, size)
        try:
            transform = srgb_transform(image)
        except ValueError:
            warnings.append(_BAD_PROFILE)
        if transparent := is_transparent(image):
            warnings.append(
                "is transparent in places, which become white: put it on a background of your own."
            )
        white = white_level(image)
        if white is not None and not has_16_bits(image):
            warnings.append(f"has values of 32 bits, of which {white:g} was taken as white.")
        changed = transform or transparent or turn is not None or target != (width, height)
        if is_plain and has_readable_exif and not changed and not _has_frames(image):
            return _Decoded(None, warnings)
        clean = flattened(image, converter(image, white, transform, transparent), target)
    return _Decoded(clean if turn is None else clean.transpose(turn), warnings)


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _Unfit(too_large())
    if max(width, height) > _MAX_RATIO * min(width, height):
        raise _Unfit(
            f"is too narrow for a clip ({width}x{height} pixels): crop it to what the clip should show."
        )
    if is_thumbnail(image):
        raise _Unfit("is a camera's raw file: develop it, and export it as PNG or JPEG.")


def _warnings(image: Image.Image, size: tuple[int, int]) -> list[str]:
    warnings = []
    if _has_frames(image) and image.format != "MPO":
        what = "several pages" if image.format == "TIFF" else "several frames"
        warnings.append(f"has {what}, and only the first is used.")
    if image.width * image.height * _SMALL < size[0] * size[1]:
        warnings.append(
            f"is small ({image.width}x{image.height} pixels), and a clip is not made larger than its image: "
            f"use one of about {size[0]}x{size[1]}."
        )
    return warnings


def _has_frames(image: Image.Image) -> bool:
    # The layers of a Photoshop file follow the whole image.
    return bool(getattr(image, "is_animated", False)) and image.format != "PSD"


def _orientation(image: Image.Image) -> tuple[Image.Transpose | None, bool]:
    """How to turn the image upright, and whether its EXIF data can be read."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1)), True
    except Exception:
        # ComfyUI's loader fails on what it cannot read here.
        return None, False
