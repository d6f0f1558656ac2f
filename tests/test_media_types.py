"""Media types by file name and back."""

from __future__ import annotations

import pytest

from driver.media_types import extension, media_type


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("voice.mp3", "audio/mpeg"),
        ("voice.m4a", "audio/mp4"),
        ("VOICE.WAV", "audio/wav"),
        ("voice.opus", "audio/opus"),
        ("a b/image.webp", "image/webp"),
        ("clip.mkv", "video/x-matroska"),
        ("what", "application/octet-stream"),
        ("what.unknown", "application/octet-stream"),
    ],
)
def test_the_type_of_a_file(name: str, type_: str) -> None:
    assert media_type(name) == type_


@pytest.mark.parametrize(
    ("type_", "suffix"),
    [
        ("audio/mpeg", ".mp3"),
        ("audio/mp4", ".m4a"),
        ("audio/wav", ".wav"),
        ("audio/x-wav", ".wav"),
        ("audio/ogg", ".ogg"),
        ("image/jpeg", ".jpg"),
        ("", ""),
        ("what/ever", ""),
    ],
)
def test_the_extension_for_a_type(type_: str, suffix: str) -> None:
    assert extension(type_) == suffix
