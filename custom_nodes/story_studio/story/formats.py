"""What a film can be: its formats by name, its frame rates, and how frames are made for them."""

from __future__ import annotations

from typing import Literal, get_args

AS_RENDERED = "as rendered"
FORMATS: dict[str, tuple[int, int]] = {
    "landscape 720p": (1280, 720),
    "landscape 1080p": (1920, 1080),
    "landscape 4K": (3840, 2160),
    "portrait 1080x1920": (1080, 1920),
    "square 1080": (1080, 1080),
}
"""Width and height in pixels. `AS_RENDERED` is the size of the clips."""
Shape = Literal["16:9", "9:16", "1:1", "4:5"]
"""The shape of a story's frames, width to height."""
SHAPES: dict[str, dict[Shape, tuple[int, int]]] = {
    "480p": {"16:9": (832, 480), "9:16": (480, 832), "1:1": (640, 640), "4:5": (512, 640)},
    "720p": {"16:9": (1280, 720), "9:16": (720, 1280), "1:1": (960, 960), "4:5": (768, 960)},
}
"""Width and height of clips in pixels, by resolution."""
RATES = (24, 25, 30)
"""Frames a second that a film can have, other than those of its clips."""
Interpolation = Literal["motion", "blend", "repeat"]
"""How frames are made for another rate without a model."""
INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)


def format_of(name: str) -> str:
    """The format that a name means: any case, without its size, or by its size alone.

    Raises:
        ValueError: there is no such format.
    """
    wanted = " ".join(name.lower().split())
    for known in (AS_RENDERED, *FORMATS):
        shape, _, size = known.lower().partition(" ")
        if wanted in (known.lower(), size) or (wanted == shape and shape in ("portrait", "square")):
            return known
    names = ", ".join((AS_RENDERED, *FORMATS))
    raise ValueError(f"{name!r} is not a format: use one of {names}; or give `width` and `height`.")
