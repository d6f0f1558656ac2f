"""What the official pipeline does with an image and a pose video before it samples."""

from __future__ import annotations

import math
from typing import Any

import torch
from PIL import Image
from torchvision.transforms import functional

Size = tuple[int, int]


def size_of(width: int, height: int, area: int) -> Size:
    """The size of a clip: of 100 scales, the first whose sides, rounded up to multiples of 64, fit the area.

    They start at the scale that fills the area, or at 1 if the image is smaller, and end where the sides fit
    even if both gain 63 pixels.
    """
    count = width * height
    largest, smallest = 1.0, 0.1
    if count > area:
        largest = math.sqrt(area / count)
        gained = 63 * (width + height)
        smallest = (math.sqrt(gained**2 - 2 * count * (63**2 - area)) - gained) / (2 * count)
    for step in range(100):
        scale = largest - (largest - smallest) * step / 100
        across, down = (64 * math.ceil(int(side * scale) / 64) for side in (width, height))
        if across * down <= area:
            return across, down
    raise ValueError(f"{width}x{height} does not fit into {area} pixels")


def scaled_to(width: int, height: int, size: Size) -> Size:
    """The image's size before the crop: its shorter side is as long as that of the frame."""
    side = min(size)
    return (side, int(side * height / width)) if width <= height else (int(side * width / height), side)


def lost(width: int, height: int, size: Size) -> tuple[float, float]:
    """How much of the image is cropped, and how much of the frame is black bars, 0 to 1."""
    scaled = scaled_to(width, height, size)
    shown = min(scaled[0], size[0]) * min(scaled[1], size[1])
    return 1 - shown / (scaled[0] * scaled[1]), 1 - shown / (size[0] * size[1])


def pixels(source: Image.Image, size: Size) -> torch.Tensor:
    """The reference image's pixels, 8-bit [height, width, 3]."""
    width, height = size
    untyped: Any = source
    fitted: Any = functional.center_crop(functional.resize(untyped, [min(size)]), [height, width])
    return functional.pil_to_tensor(fitted).movedim(0, -1)


def poses(vae: Any, video: torch.Tensor, chunks: int) -> list[torch.Tensor]:
    """The control latents of each chunk of 80 frames, for a video of the clip's size, [N, H, W, 3].

    Black frames fill it up; of each chunk the first frame is doubled, and the first latent dropped.
    """
    black = video.new_zeros([max(0, 80 * chunks - len(video)), *video.shape[1:]])
    padded = torch.cat([video, black])
    parts = (padded[80 * index : 80 * index + 80] for index in range(chunks))
    return [vae.encode(torch.cat([part[:1], part]))[:, :, 1:] for part in parts]
