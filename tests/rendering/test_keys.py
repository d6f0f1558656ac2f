"""Keys of results stay: what an earlier version rendered, or another ComfyUI, is found again."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.studio import Studio

KEYS = {
    "draft": ("15286429b326da41850c06d7", "67d26568b0fa3004f3739329"),
    "turbo": ("be24ad5960f01b2efd91acba", "486e7b74596ba00e4e3f0bea"),
    "standard": ("be24ad5960f01b2efd91acba", "a8995d507109a59295dd9fc7"),
    "quality": ("b19397bef5bd48aae3dc6646", "c2307fecd7ab034340fcc013"),
}
"""As version 0.1.0 made them on ComfyUI 0.3.75."""


def write_exact_voice(path: Path) -> None:
    """A fifth of a second, the same to the byte on every machine."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        samples = (n * 257 % 20_011 - 10_000 for n in range(3200))
        file.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))


@pytest.mark.parametrize("profile", KEYS)
def test_keys_are_those_of_earlier_versions(
    studio: Studio, write_story: Callable[..., Path], tmp_path: Path, profile: str
) -> None:
    story = write_story([0.2], profile=profile)
    write_exact_voice(tmp_path / "voice_1.wav")
    assert studio.render(story, tmp_path / "films") == 0
    manifest = json.loads((tmp_path / "films" / "tale" / "manifest.json").read_text("utf-8"))
    (scene,) = manifest["scenes"]
    assert (scene["still"]["key"], scene["clip"]["key"]) == KEYS[profile]
