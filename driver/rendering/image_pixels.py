"""The pixels of an image of any kind as 8-bit sRGB, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from math import isqrt

import numpy as np
from PIL import Image, ImageCms

_STRIP_PIXELS = 2**21
_GREYS = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_WHITES = (255, 65535)
"""White in integers that are stored as wider ones, or as floats."""
_BRIGHTEST_FLOAT = 10.0
"""Floats of which 1 is white may exceed it; those of which 255 is white do not stay below this."""
_SRGB_TOLERANCE = 3
"""Levels of 255 that profiles of sRGB differ by."""

Convert = Callable[[Image.Image], Image.Image]
"""Makes 8-bit RGB of a part of an image."""


def scaled_size(width: int, height: int, pixels: int) -> tuple[int, int]:
    """The size of an image scaled down to about `pixels` at most, where its shape changes least."""
    if width * height <= pixels:
        return width, height
    widest = max(1, isqrt(pixels * width // height))

    def error(candidate: int) -> tuple[int, int]:
        return abs(candidate * height - _scaled(candidate, height, width) * width), -candidate

    best = min(range(max(1, widest * 9 // 10), widest + 1), key=error)
    return best, max(1, _scaled(best, height, width))


def _scaled(value: int, part: int, whole: int) -> int:
    return (2 * value * part + whole) // (2 * whole)


def flattened(image: Image.Image, convert: Convert, size: tuple[int, int]) -> Image.Image:
    """An image converted to RGB and scaled down to `size`, strip by strip."""
    factor = max(1, min(image.width // size[0], image.height // size[1]) // 2)
    flat = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    for top, strip in _strips(image, factor):
        part = convert(strip)
        flat.paste(part.reduce(factor) if factor > 1 else part, (0, top // factor))
    if flat.size == size:
        return flat
    # The last block of the reduced image may be an incomplete one.
    box = (0, 0, image.width / factor, image.height / factor)
    return flat.resize(size, Image.Resampling.LANCZOS, box)


def _strips(image: Image.Image, multiple: int = 1) -> Iterator[tuple[int, Image.Image]]:
    rows = max(1, _STRIP_PIXELS // (image.width * multiple)) * multiple
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def is_transparent(image: Image.Image) -> bool:
    """Whether any pixel of an image lets something shine through."""
    if image.mode in _GREYS or not image.has_transparency_data:
        return False
    return any(strip.convert("RGBA").getchannel("A").getextrema()[0] != 255 for _, strip in _strips(image))


def has_16_bits(image: Image.Image) -> bool:
    """Whether an image's values are 16-bit integers, in whichever type Pillow keeps them."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))


def white_level(image: Image.Image) -> float | None:
    """The value that becomes white in an image of more than 8 bits; None for other images.

    16-bit integers end at 65535. In wider integers and floats, white is the first of 1 (floats), 255 and
    65535 that no pixel exceeds, or else the brightest pixel.
    """
    if image.mode not in _GREYS:
        return None
    if has_16_bits(image):
        return _WHITES[-1]
    brightest = max(float(_finite(strip).max()) for _, strip in _strips(image))
    if image.mode == "F" and brightest <= _BRIGHTEST_FLOAT:
        return 1
    return next((white for white in _WHITES if brightest <= white), brightest)


def _finite(image: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(image, np.float64), nan=0, posinf=0, neginf=0)


def converter(
    image: Image.Image, white: float | None, transform: ImageCms.ImageCmsTransform | None, transparent: bool
) -> Convert:
    """How parts of an image become RGB: values up to `white`, colours by `transform`, alpha over white."""

    def convert(part: Image.Image) -> Image.Image:
        if white is not None:
            levels = np.clip(
                np.nan_to_num(np.asarray(part, np.float64), posinf=white, neginf=0) * (255 / white), 0, 255
            )
            part = Image.fromarray((levels + 0.5).astype(np.uint8))
        alpha = part.convert("RGBA").getchannel("A") if transparent else None
        if transform is not None:
            if part.mode != transform.input_mode:
                part = part.convert(transform.input_mode)
            part = ImageCms.applyTransform(part, transform) or part
        colours = part.convert("RGBA").convert("RGB") if transparent else part.convert("RGB")
        return Image.composite(colours, Image.new("RGB", part.size, "white"), alpha) if alpha else colours

    return convert


def srgb_transform(image: Image.Image) -> ImageCms.ImageCmsTransform | None:
    """What brings an image's colours to sRGB by its colour profile; None if they are sRGB already.

    Raises:
        ValueError: the profile is broken or one for other kinds of images.
    """
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
    profile: bytes | None = image.info.get("icc_profile")
    if not profile or image.mode in _GREYS:
        return None
    try:
        mode = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}[profile[16:20]]
        if (mode == "CMYK") != (image.mode == "CMYK") or (mode == "L" and image.mode not in ("1", "L", "LA")):
            raise ValueError(f"a profile for {mode} in an image with {image.mode}")
        transform = ImageCms.buildTransform(BytesIO(profile), ImageCms.createProfile("sRGB"), mode, "RGB")
        return None if mode != "CMYK" and _is_identity(transform, mode) else transform
    except Exception as error:
        # LittleCMS and the parser of profiles raise whatever they meet.
        raise ValueError("The colour profile cannot be used.") from error


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    sample = Image.fromarray(colours) if mode == "RGB" else Image.fromarray(colours[..., 0].copy())
    converted = ImageCms.applyTransform(sample, transform) or sample
    difference = np.asarray(converted, np.int16) - np.asarray(sample.convert("RGB"), np.int16)
    return int(np.abs(difference).max()) <= _SRGB_TOLERANCE
