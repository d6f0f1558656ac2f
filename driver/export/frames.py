"""Single frames of a film as images: a poster, and a thumbnail of each shot."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..rendering.cut import Cut, Shot

_CANDIDATES = 9
_DARK, _BRIGHT = 32.0, 224.0
"""Mean luma of frames that are too dark or too bright for a poster, in limited range."""
_THUMBNAIL = (640, 640)
_SHEET, _GAP, _COLUMNS = 1920, 24, 4
_GROUND, _INK = (18, 19, 23), (236, 232, 225)


def write_poster(film: Path, cut: Cut, target: Path) -> None:
    """Writes a sharp, well-exposed frame of the first scene as JPEG.

    Sharpness is the variance of the Laplacian (Pech-Pacheco et al., ICPR 2000). Raises ValueError if no frame
    can be decoded.
    """
    shot = next((shot for shot in cut.shots if shot.kind == "scene"), cut.shots[0])
    # Transitions and fades touch the ends.
    numbers = [shot.start + shot.clip_frames * (step + 2) // (_CANDIDATES + 3) for step in range(_CANDIDATES)]
    frames = [frame_at(film, number, cut.rate) for number in numbers]
    best = max(frames, key=_fitness)
    best.to_image().save(target, quality=92)


def thumbnail(film: Path, shot: Shot, rate: Fraction) -> Image.Image:
    """The middle frame of a shot, at most 640 pixels large."""
    image = frame_at(film, shot.start + shot.clip_frames // 2, rate).to_image()
    image.thumbnail(_THUMBNAIL, Image.Resampling.LANCZOS)
    return image


def write_storyboard(images: Sequence[Image.Image], target: Path) -> None:
    """Writes numbered images on one sheet, in rows, as JPEG."""
    columns = min(len(images), _COLUMNS)
    width = (_SHEET - _GAP * (columns + 1)) // columns
    heights = [round(image.height * width / image.width) for image in images]
    height, label = max(heights), 44
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (_SHEET, rows * (height + label + _GAP) + _GAP), _GROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(24)
    for index, image in enumerate(images):
        left = _GAP + index % columns * (width + _GAP)
        top = _GAP + index // columns * (height + label + _GAP)
        sheet.paste(image.resize((width, heights[index]), Image.Resampling.LANCZOS), (left, top))
        draw.text((left, top + heights[index] + 10), str(index + 1), _INK, font)
    sheet.save(target, quality=90)


def frame_at(film: Path, number: int, rate: Fraction) -> av.VideoFrame:
    """The frame of this number, or the last one before it. Raises ValueError if there is none."""
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        # With threads, abandoning a decoder early can deadlock the process, as in the node pack's decoder.
        stream.codec_context.thread_count = 1
        assert stream.time_base
        # Half a frame early, so that rounded time stamps do not matter.
        time = (number - Fraction(1, 2)) / rate
        container.seek(max(0, int(time / stream.time_base)), stream=stream)
        frame = None
        for frame in container.decode(stream):
            if frame.pts is not None and frame.pts * stream.time_base >= time:
                break
        if frame is None:
            raise ValueError(f"no frame of {film.name} can be decoded; render it again.")
        return frame


def _fitness(frame: av.VideoFrame) -> tuple[bool, float]:
    luma = frame.to_ndarray(format="gray").astype(np.float32)
    laplacian = luma[1:-1, :-2] + luma[1:-1, 2:] + luma[:-2, 1:-1] + luma[2:, 1:-1] - 4 * luma[1:-1, 1:-1]
    return bool(_DARK < luma.mean() < _BRIGHT), float(laplacian.var())
