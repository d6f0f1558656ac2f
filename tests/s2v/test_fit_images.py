"""An image is scaled and cropped to the pixels of the official pipeline."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import tests.comfy_process  # noqa: F401 -- it hides the GPU before anything imports ComfyUI
from story_studio.s2v import motion
from tests.s2v import official
from tests.s2v.tools import relative

Size = tuple[int, int]


def photograph(width: int, height: int) -> Image.Image:
    """Noise with the spectrum of photographs: the finer the detail, the weaker."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    frequency[0, 0] = 1
    random = np.random.default_rng(1).standard_normal((3, height, width))
    noise = np.fft.ifft2(np.fft.fft2(random) / frequency).real
    pixels = 128 + 50 * (noise - noise.mean()) / noise.std()
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image))[None].float() / 255


@pytest.mark.parametrize(
    ("image", "size"),
    [
        ((1000, 1000), (576, 576)),
        ((1939, 1944), (576, 576)),
        # Twice, half a pixel is to be cropped.
        ((1080, 2533), (384, 832)),
        ((2533, 1080), (832, 384)),
        ((500, 700), (320, 448)),
        ((300, 300), (320, 320)),
    ],
)
def test_pixels_are_the_official_ones(image: Size, size: Size) -> None:
    source = photograph(*image)
    ours = motion.fit_images(tensor(source), *size)[0]
    # The official pixels are rounded to 8 bits; a bicubic filter is 2.5 % off, a crop one pixel aside 10 %.
    assert relative(ours, official.pixels(source, size) / 255) < 0.005


@pytest.mark.parametrize(("image", "size"), [((1920, 1080), (832, 448)), ((1080, 1920), (448, 832))])
def test_a_frame_has_no_bars(image: Size, size: Size) -> None:
    source = Image.new("RGB", image, "white")
    assert official.pixels(source, size).amin() == 0
    assert motion.fit_images(tensor(source), *size).amin() > 0.999


def test_an_image_of_the_right_size_is_unchanged() -> None:
    image = tensor(photograph(128, 64))
    torch.testing.assert_close(motion.fit_images(image, 128, 64), image)


@pytest.mark.parametrize(("image", "size"), [((1, 5000), (64, 5056)), ((100_000, 1), (6208, 64))])
def test_a_line_is_not_scaled_as_a_whole(image: Size, size: Size, monkeypatch: pytest.MonkeyPatch) -> None:
    """The 5,000 pixels of one that covers the frame would become 20 million."""
    scaled, interpolate = [], torch.nn.functional.interpolate

    def record(source: torch.Tensor, size: Size, **options: object) -> torch.Tensor:
        scaled.append(size[0] * size[1])
        return interpolate(source, size=size, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.functional, "interpolate", record)
    assert motion.fit_images(torch.rand(1, *image[::-1], 3), *size).shape == (1, *size[::-1], 3)
    assert scaled[0] <= 4 * size[0] * size[1]


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_images_and_images_with_transparency_fit(channels: int) -> None:
    assert motion.fit_images(torch.rand(2, 50, 70, channels), 128, 64).shape == (2, 64, 128, 3)
