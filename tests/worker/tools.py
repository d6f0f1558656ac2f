"""Nodes of small workflows, and the files in the responses to them."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from PIL import Image

from story_studio.story.problems import Problem

RED, GREEN = 0xFF0000, 0x00FF00
ANOTHER_JOB_S = f"{'0123456789ab' * 2}.png"
OUTSIDE = "/abs/path/private.png"

Nodes = dict[str, dict[str, Any]]
Judge = Callable[..., list[Problem]]
"""What finds the problems in a workflow, see the fixture `judge`."""


def node(name: str, /, **inputs: Any) -> dict[str, Any]:
    return {"class_type": name, "inputs": inputs}


def empty_image(color: int = RED, size: int = 16, frames: int = 1) -> dict[str, Any]:
    return node("EmptyImage", width=size, height=size, batch_size=frames, color=color)


def save(prefix: str = "picture", images: str = "1") -> dict[str, Any]:
    return node("SaveImage", images=[images, 0], filename_prefix=prefix)


def png(color: str | None = None, size: int = 16) -> str:
    """A PNG in base64: of one colour, or of noise."""
    file = io.BytesIO()
    image = Image.new("RGB", (size, size), color) if color else Image.effect_noise((size, size), 90)
    image.convert("RGB").save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


def content(entry: dict[str, Any]) -> bytes:
    """The bytes of a file in an answer, checked against the size and hash in it."""
    if entry["type"] == "base64":
        data = base64.b64decode(entry["data"])
    elif entry["data"].startswith("file:"):
        data = Path(unquote(urlsplit(entry["data"]).path)).read_bytes()
    else:
        data = requests.get(entry["data"], timeout=30).content
    assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["bytes"], entry["sha256"])
    return data


def color(entry: dict[str, Any]) -> Any:
    with Image.open(io.BytesIO(content(entry))) as image:
        return image.convert("RGB").getpixel((0, 0))


def data_uri(path: Path, kind: str) -> str:
    """A file as it stands in a request."""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
