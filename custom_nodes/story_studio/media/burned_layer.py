"""A drawn caption as a layer of a yuv420p frame: its box, its colours in BT.709, and blending it in."""

from __future__ import annotations

from typing import NamedTuple

import av
import numpy as np
from PIL import Image, ImageDraw

_KR, _KB = 0.2126, 0.0722
"""Shares of red and blue in the luma of ITU-R BT.709."""
_BLACK, _LUMA, _NEUTRAL, _CHROMA = 16, 219, 128, 224
"""Limited range: luma of black and span of luma, chroma of grey and span of chroma."""
_FINER = 4


class Layer(NamedTuple):
    """What is blended into a rectangle of the three planes of a frame.

    Attributes:
        left, top: in pixels of the frame, even.
        keep: uint16 for each plane, how much of the frame stays, in 1/256.
        add: uint16 for each plane, what comes on top, in 1/256.
    """

    left: int
    top: int
    keep: tuple[np.ndarray, np.ndarray, np.ndarray]
    add: tuple[np.ndarray, np.ndarray, np.ndarray]


def ink_of(image: np.ndarray) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of what an image uint8 [height, width, 4] shows, or None."""
    alpha = image[..., 3]
    rows = np.flatnonzero(alpha.any(axis=1))
    if not rows.size:
        return None
    columns = np.flatnonzero(alpha[rows[0] : rows[-1] + 1].any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def narrowed(image: np.ndarray, width: float) -> np.ndarray:
    """The image with what it shows scaled down to `width` pixels, if it is wider, about the same centre."""
    ink = ink_of(image)
    if ink is None or ink[2] - ink[0] <= width:
        return image
    left, top, right, bottom = ink
    scale = width / (right - left)
    size = max(1, int((right - left) * scale)), max(1, round((bottom - top) * scale))
    # Its values are multiplied by alpha already, so every channel is scaled for itself.
    channels = [Image.fromarray(channel) for channel in np.moveaxis(image[top:bottom, left:right], -1, 0)]
    small = np.stack([np.asarray(channel.resize(size, Image.Resampling.LANCZOS)) for channel in channels], -1)
    small[..., :3] = np.minimum(small[..., :3], small[..., 3:])
    result = np.zeros_like(image)
    x, y = (image.shape[1] - size[0]) // 2, bottom - size[1]
    result[y : y + size[1], x : x + size[0]] = small
    return result


def boxed(
    image: np.ndarray, rows: list[tuple[float, float]], padding: float, radius: float, opacity: float
) -> np.ndarray:
    """The image with a dark rounded box behind each line.

    Lines of nearly the same width get equally wide boxes, and those of neighbours join without a seam.

    Args:
        image: uint8 [height, width, 4], as libass drew it.
        rows: top and bottom of each line's box, in pixels.
        padding: beside the letters, in pixels.
        radius: of the corners, in pixels.
        opacity: 0 to 1.
    """
    spans = _spans(image, rows, padding, 3 * radius)
    if not spans:
        return image
    height, width = image.shape[:2]
    mask = Image.new("L", (width * _FINER, height * _FINER))
    draw = ImageDraw.Draw(mask)
    for number, (left, top, right, bottom) in enumerate(spans):
        # Each box reaches into the one above, so that no background shows between their corners.
        reach = radius if number else 0.0
        box = [value * _FINER for value in (left, top - reach, right, bottom)]
        draw.rounded_rectangle(box, radius * _FINER, 255)
    alpha = np.asarray(mask.reduce(_FINER), np.float32) * opacity
    above = image.astype(np.float32)
    result = above.copy()
    result[..., 3] += alpha * (1 - above[..., 3] / 255)
    return np.round(result).astype(np.uint8)


def _spans(
    image: np.ndarray, rows: list[tuple[float, float]], padding: float, alike: float
) -> list[tuple[float, float, float, float]]:
    spans: list[tuple[float, float, float, float]] = []
    for top, bottom in rows:
        ink = ink_of(image[max(0, round(top)) : round(bottom)])
        if ink:
            left, right = ink[0] - padding, ink[2] + padding
            if spans and abs((right - left) - (spans[-1][2] - spans[-1][0])) < 2 * alike:
                left, right = min(left, spans[-1][0]), max(right, spans[-1][2])
                spans[-1] = left, spans[-1][1], right, spans[-1][3]
            spans.append((left, top, right, bottom))
    return spans


def layer_of(image: np.ndarray, top: int, height: int) -> Layer | None:
    """The layer of an image, uint8 [h, w, 4] with colours multiplied by alpha. None if it shows nothing.

    Its first row is row `top` of a frame of `height` pixels, both even; what is outside is left out.
    """
    first, last = max(0, -top), min(image.shape[0], height - top)
    image = image[first:last]
    ink = ink_of(image) if last > first else None
    if ink is None:
        return None
    # Chroma samples of two pixels, and one more at each side, as they are made of their neighbours, too.
    left, right = max(0, ink[0] // 2 * 2 - 2), min(image.shape[1], (ink[2] + 3) // 2 * 2)
    upper, lower = ink[1] // 2 * 2, (ink[3] + 1) // 2 * 2
    values = image[upper:lower, left:right].astype(np.float32) / 255
    red, green, blue, alpha = np.moveaxis(values, -1, 0)
    luma = _KR * red + (1 - _KR - _KB) * green + _KB * blue
    small = [_halved(plane) for plane in ((blue - luma) / (2 - 2 * _KB), (red - luma) / (2 - 2 * _KR), alpha)]
    planes = [_BLACK * alpha + _LUMA * luma, *(_NEUTRAL * small[2] + _CHROMA * small[i] for i in (0, 1))]
    keep = [256 - np.round(256 * part).astype(np.uint16) for part in (alpha, small[2])]
    y, u, v = (np.round(256 * plane).clip(0, 65535).astype(np.uint16) for plane in planes)
    return Layer(left, upper + first + top, (keep[0], keep[1], keep[1]), (y, u, v))


def _halved(plane: np.ndarray) -> np.ndarray:
    """Half the size; H.264's chroma samples stand on the left of two pixels and between two rows."""
    rows = (plane[0::2] + plane[1::2]) / 2
    before = np.concatenate([rows[:, :1], rows[:, 1:-1:2]], axis=1)
    return 0.25 * before + 0.5 * rows[:, 0::2] + 0.25 * rows[:, 1::2]


def blended(frame: av.VideoFrame, layer: Layer) -> av.VideoFrame:
    """A copy of a yuv420p frame, BT.709 in limited range, with the layer on top.

    A decoder may still need the frame itself for those that follow.
    """
    result = av.VideoFrame(frame.width, frame.height, "yuv420p")
    result.pts, result.colorspace, result.color_range = frame.pts, frame.colorspace, frame.color_range
    if frame.time_base is not None:
        result.time_base = frame.time_base
    for number in range(3):
        step = 1 if number == 0 else 2
        old, new = _plane(frame, number), _plane(result, number)
        new[:] = old
        keep, add = layer.keep[number], layer.add[number]
        x, y = layer.left // step, layer.top // step
        part = new[y : y + keep.shape[0], x : x + keep.shape[1]]
        part[:] = (part * keep + add + 128) >> 8
    return result


def _plane(frame: av.VideoFrame, number: int) -> np.ndarray:
    """A view of one plane, uint8 [height, width]."""
    plane = frame.planes[number]
    rows = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size]  # type: ignore[arg-type]
    return rows.reshape(plane.height, plane.line_size)[:, : plane.width]
