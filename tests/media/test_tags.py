"""What files say that are damaged, hostile, or not there."""

from __future__ import annotations

import struct
import zlib
from itertools import starmap
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from driver.rendering.kept import _about
from story_studio.media.finished_film import FilmFacts, read_facts
from story_studio.signal.tags import tags_of
from tests.voices import write_voice

DAMAGED = {
    "empty.png": b"",
    "no_chunk.png": b"\x89PNG\r\n\x1a\n" + b"\0" * 64,
    "huge.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\x02\0\0\0\0\0\0\0",
    "empty.mp4": b"",
    "text.mp4": b"no video" * 100,
}


@pytest.mark.parametrize("name", [*DAMAGED, "missing.png", "missing.mp4"])
def test_nothing_is_known_of_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name in DAMAGED:
        path.write_bytes(DAMAGED[name])
    assert tags_of(path) == {} and _about(path) == ""
    if path.suffix == ".mp4":
        assert read_facts(path) == FilmFacts()


def test_an_image_that_is_too_large_to_be_opened(tmp_path: Path) -> None:
    # Whole and valid, with a prompt: 20,000 by 20,000 bits of black, which compress well.
    side = 20_000
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)),
        (b"tEXt", b"prompt\0{}"),
        (b"IDAT", zlib.compress(bytes(side * (1 + side // 8)), 1)),
        (b"IEND", b""),
    )
    path = tmp_path / "large.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(starmap(_chunk, chunks)))
    assert tags_of(path) == {} and _about(path) == ""


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_film_without_a_video(tmp_path: Path) -> None:
    assert read_facts(write_voice(tmp_path / "sound.wav", 0.1)) == FilmFacts()


def test_a_graph_that_is_nested_too_deeply(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", "[" * 100_000)
    Image.new("L", (2, 2)).save(path := tmp_path / "deep.png", pnginfo=info)
    assert tags_of(path)["prompt"].startswith("[[[") and _about(path) == ""
