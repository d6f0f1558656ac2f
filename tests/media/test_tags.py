"""What files say that are damaged, hostile, or not there."""

from __future__ import annotations

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


def test_an_image_that_is_too_large_to_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (10, 10)).save(path := tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert tags_of(path) == {} and _about(path) == ""


def test_a_film_without_a_video(tmp_path: Path) -> None:
    assert read_facts(write_voice(tmp_path / "sound.wav", 0.1)) == FilmFacts()


def test_a_graph_that_is_nested_too_deeply(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", "[" * 100_000)
    Image.new("L", (2, 2)).save(path := tmp_path / "deep.png", pnginfo=info)
    assert tags_of(path)["prompt"].startswith("[[[") and _about(path) == ""
