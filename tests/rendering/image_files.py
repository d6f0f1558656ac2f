"""Images for the tests, and what is made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from driver.files import sha256_of
from driver.rendering.images import read_image
from driver.rendering.input_file import InputFile

SIZE = (64, 64)


SHAPE = (48, 80, 3)


def pixels(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Smooth colours, which JPEG keeps."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    channels = [rows * 4 + seed, columns * 3, 255 - rows * 2 - columns]
    return np.stack(channels, -1).clip(0, 255).astype(np.uint8)


def drawn(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(pixels()).convert(mode)


def read(path: Path, size: tuple[int, int] = SIZE) -> InputFile:
    folder = path.parent / "copies"
    folder.mkdir(exist_ok=True)
    return read_image(path, folder, size)


def clean(path: Path, size: tuple[int, int] = SIZE) -> np.ndarray:
    """The pixels of the clean copy, which has nothing else in it."""
    file = read(path, size)
    assert file.path != path
    assert file.sha256 == sha256_of(file.path)
    with Image.open(file.path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert not image.info
        return np.asarray(image).astype(int)


def refusal(path: Path) -> str:
    with pytest.raises(ValueError) as caught:
        read(path)
    assert type(caught.value) is ValueError
    message = str(caught.value)
    assert message.startswith(f"{path.name} ")
    return message


def with_hidden_colours(mode: str) -> Image.Image:
    """Red whose left half is hidden and whose right half is opaque."""
    image = Image.new("RGBA", (80, 64), (255, 0, 0, 255))
    image.paste((0, 255, 0, 0), (0, 0, 40, 64))
    return image if mode == "RGBA" else image.convert(mode)
