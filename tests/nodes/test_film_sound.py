"""Film Sound on the server: the film has the loudness and the music that were asked for, and says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from driver.comfy.events import Failed, Finished
from story_studio.media.decoder import decode_audio
from story_studio.media.probe import probe
from story_studio.signal.loudness import measure
from tests.media.test_film import shot
from tests.studio import Studio
from tests.voices import write_voice


def film(studio: Studio, clip: str, music: str, **settings: Any) -> dict[str, Any]:
    def node(cls: str, **inputs: Any) -> dict[str, Any]:
        return {"class_type": cls, "inputs": inputs}

    sound = {"normalize": True, "loudness": -18.0, "room_tone": True}
    sound |= {"music_level": -12.0, "music_fade": 0.5, "duck": True}
    ends = {"join": "cut", "crossfade_seconds": 0.5, "chapters": False, "captions": False}
    return {
        "clip": node("LoadVideo", file=clip),
        "music": node("LoadAudio", audio=music),
        "scene": node("StoryStudio_FilmScene", clip=["clip", 0], title="", text=""),
        "sound": node("StoryStudio_FilmSound", music=["music", 0], **sound | settings),
        "film": node(
            "StoryStudio_Film", film=["scene", 0], sound=["sound", 0], title="", name="film", **ends
        ),
    }


@pytest.fixture
def clip(studio: Studio, tmp_path: Path) -> str:
    path = shot(tmp_path, 0, 48).path
    return studio.comfy.upload(path, "sound_clip.mp4")


def test_a_film_has_its_loudness_and_music(studio: Studio, clip: str, tmp_path: Path) -> None:
    music = studio.comfy.upload(write_voice(tmp_path / "bed.wav", 1.5), "bed.wav")
    tags, loudness = [], []
    for settings in ({}, {"loudness": -22.0}):
        *_, end = studio.comfy.run(film(studio, clip, music, **settings))
        assert isinstance(end, Finished) and end.status == "success", end
        (item,) = end.outputs["film"]["images"]
        path = studio.comfy.fetch(item, tmp_path / "film.mp4")
        tags.append(json.loads(probe(path).metadata["story_studio"])["sound"])
        loudness.append(measure(decode_audio(path)).integrated)
    assert [tag["target"] for tag in tags] == [-18, -22]
    assert loudness == pytest.approx([-18, -22], abs=0.3)
    assert [tag["loudness"] for tag in tags] == pytest.approx(loudness, abs=0.2)


def test_music_that_is_too_short_fails_with_what_to_do(studio: Studio, clip: str, tmp_path: Path) -> None:
    music = studio.comfy.upload(write_voice(tmp_path / "blip.wav", 0.1), "blip.wav")
    events = list(studio.comfy.run(film(studio, clip, music)))
    failed = [event for event in events if isinstance(event, Failed)]
    assert failed and failed[0].node == "sound"
    assert "link at least a second of it" in failed[0].message
