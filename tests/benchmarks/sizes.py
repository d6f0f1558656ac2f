"""The size of a talking video against the official one: what is cropped of images as people have them.

Nothing is rendered, so this takes no time.
"""

from __future__ import annotations

from fractions import Fraction

from story_studio.s2v import timeline
from tests.s2v import official

from .table import Cell, Report, Section

AREAS = {"832x480": 832 * 480, "1280x720": 1280 * 720}
IMAGES = {
    "video 1080p": (1920, 1080),
    "video 4K": (3840, 2160),
    "video upright": (1080, 1920),
    "still 480p": (832, 480),
    "still 720p": (1280, 720),
    "iPhone 14": (1170, 2532),
    "iPhone 15": (1179, 2556),
    "Android 19.5:9": (1080, 2340),
    "Android 20:9": (1080, 2400),
    "phone camera": (4032, 3024),
    "phone camera upright": (3024, 4032),
    "camera 3:2": (6000, 4000),
    "camera 3:2 upright": (4000, 6000),
    "webcam": (640, 480),
    "square": (1024, 1024),
    "nearly square": (1939, 1944),
    "portrait 4:5": (1080, 1350),
    "portrait 2:3": (512, 768),
    "A4 scan": (2480, 3508),
    "5:4": (1280, 1024),
    "film 21:9": (2560, 1080),
    "banner 3:1": (1500, 500),
    "strip": (905, 2890),
    "thumbnail": (200, 112),
    "icon": (100, 60),
    "line": (1, 5000),
}
"""Width and height in pixels."""


def run(quick: bool) -> Report:
    """The sizes of all images, for each area; `quick` changes nothing."""
    sections = [
        Section(f"at {name}", [_row(label, *size, area) for label, size in IMAGES.items()])
        for name, area in AREAS.items()
    ]
    notes = [
        "`cropped` is the share of the image that does not show, in percent; `bars` is the share of the "
        "frame that stays black: the official pipeline scales the shorter side of the image to the frame's.",
        "`largest` is the largest size with both sides rounded up at one scale, which earlier versions used.",
        "`pixels` is the size against the largest, as a ratio.",
    ]
    return Report("The size of a talking video", sections, notes)


def _row(label: str, width: int, height: int, area: int) -> dict[str, Cell]:
    theirs = official.size_of(width, height, area)
    cropped, bars = official.lost(width, height, theirs)
    largest = next(timeline.possible_sizes(width, height, area))
    ours = timeline.fit_size(width, height, area)
    return {
        "image": label,
        "size": _shown((width, height)),
        "official": _shown(theirs),
        "official cropped": _percent(cropped),
        "official bars": _percent(bars),
        "largest": _shown(largest),
        "largest cropped": _percent(timeline.cropped(width, height, *largest)),
        "ours": _shown(ours),
        "ours cropped": _percent(timeline.cropped(width, height, *ours)),
        "pixels": f"{ours[0] * ours[1] / (largest[0] * largest[1]):.2f}",
    }


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _percent(share: float | Fraction) -> str:
    return f"{100 * float(share):.1f}"
