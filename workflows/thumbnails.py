"""Draws the thumbnails of the examples: .venv/bin/python -m workflows.thumbnails

Each shows what the example makes, with words that can be read at the size of ComfyUI's template menu, where
a label of ComfyUI's own covers the upper left corner. Images and voice are those of the pack's samples.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from driver.comfy.process import PACK
from story_studio.media.cards.landscape import PALETTES, Sun, landscape

SIDE = 480
GAP = 6
FOLDER = PACK / "example_workflows"
INK = "#f6f1e7"
GROUND = "#12161d"
ACCENT = "#f3c069"
PROMPT = "“a lighthouse keeper of seventy,\nsilver hair, navy sweater,\nthe lamp glows behind her”"


def main() -> None:
    """Writes the thumbnail of every example."""
    for name, draw in THUMBNAILS.items():
        draw().save(FOLDER / f"{name}.jpg", quality=88)


def _talking_video() -> Image.Image:
    return _titled(_with_waveform(_portrait(SIDE, SIDE)), "Talking video", "an image + a voice")


def _one_scene() -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), GROUND)
    image.paste(_portrait(SIDE, 214), (0, 162))
    ImageDraw.Draw(image).multiline_text((22, 62), PROMPT, ACCENT, _font(25), spacing=6)
    return _titled(_with_waveform(image), "One scene", "a prompt + a voice")


def _one_image() -> Image.Image:
    image = ImageOps.expand(_portrait(SIDE - 4 * GAP, SIDE - 4 * GAP), 2 * GAP, INK)
    return _titled(image, "One image", "Z-Image, 40 steps")


def _story() -> Image.Image:
    half = (SIDE - GAP) // 2
    return _titled(
        _film(_portrait(SIDE, 210), _painted(half, 130, 3), _painted(half, 130, 9)),
        "Story",
        "scenes become a film",
    )


def _draft() -> Image.Image:
    half = (SIDE - GAP) // 2
    frames = [_painted(SIDE, 210, 2), _painted(half, 130, 8), _painted(half, 130, 5)]
    for frame, text in zip(frames, ("Keeper", "Sailor", "Morning"), strict=True):
        size = frame.height // 4
        ImageDraw.Draw(frame).text((frame.width / 2, frame.height / 2), text, INK, _font(size), anchor="mm")
    return _titled(_film(*frames), "Draft", "no model, no GPU")


def _film(first: Image.Image, second: Image.Image, third: Image.Image) -> Image.Image:
    """Three frames, the first as wide as the other two."""
    image = Image.new("RGB", (SIDE, SIDE), GROUND)
    image.paste(first, (0, 0))
    image.paste(second, (0, first.height + GAP))
    image.paste(third, (SIDE - third.width, first.height + GAP))
    return image


def _portrait(width: int, height: int) -> Image.Image:
    """The keeper's face in the middle."""
    with Image.open(PACK / "samples" / "story_studio_keeper.jpg") as image:
        return ImageOps.fit(image.convert("RGB"), (width, height), centering=(0.47, 0.1))


def _painted(width: int, height: int, palette: int) -> Image.Image:
    sun = Sun(width * 0.72, height * 0.36, height * 0.13)
    pixels = landscape(width, height, PALETTES[palette], sun, np.random.default_rng(palette))
    return Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8))


def _with_waveform(image: Image.Image) -> Image.Image:
    draw = ImageDraw.Draw(image)
    for place in range(36):
        loud = abs(math.sin(place * 0.55) * math.sin(place * 1.7 + 1)) * 20 + 4
        x, y = 22 + place * 12.3, 350
        draw.rounded_rectangle((x, y - loud, x + 6, y + loud), 3, ACCENT)
    return image


def _titled(image: Image.Image, title: str, subtitle: str) -> Image.Image:
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 376, SIDE, SIDE), GROUND)
    draw.text((22, 380), title, INK, _font(56))
    draw.text((24, 441), subtitle, ACCENT, _font(27))
    return image


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


THUMBNAILS = {
    "Draft": _draft,
    "One image": _one_image,
    "One scene": _one_scene,
    "Story": _story,
    "Talking video": _talking_video,
}

if __name__ == "__main__":
    main()
