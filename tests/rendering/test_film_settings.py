"""What a story says about its film, through the real server: what is made, and what is made again."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from driver.rendering.dry_run import Step, forecast
from driver.rendering.manifest import Manifest, read_manifest
from driver.rendering.prepare import prepare
from driver.terminal import OK
from story_studio.media.probe import probe
from story_studio.story.keys import hash_parts
from story_studio.story.recipes import FOLDER
from tests.studio import Studio
from tests.voices import write_voice

WriteStory = Callable[..., Path]
RECIPES = {
    "image_settings": {"workflow": str(FOLDER / "title_card_still.json")},
    "video_settings": {"workflow": str(FOLDER / "animatic_clip.json"), "resolution": "128x64"},
}
"""A draft's, in a profile whose films have masters."""


def rendered(studio: Studio, story: Path, output: Path) -> Manifest:
    assert studio.render(story, output) == OK
    manifest = read_manifest(output / "tale")
    assert manifest and manifest.film and manifest.film.cut
    return manifest


def reused(manifest: Manifest) -> dict[str, bool | None]:
    assert manifest.film
    (scene, *_) = manifest.scenes
    results = {"clip": scene.clip, "master": scene.master, "film": manifest.film}
    return {kind: result.reused if result else None for kind, result in results.items()}


def forecast_of(story: Path, folder: Path) -> list[Step]:
    """What a render of a story would make after the one in `2`."""
    (downloads := folder / "downloads").mkdir(exist_ok=True)
    plans = prepare([story], None, Path(tempfile.mkdtemp(dir=downloads)))
    (of_story,) = forecast(plans, folder / "2", elsewhere=True)
    return of_story.steps


def test_a_changed_delivery_makes_masters_and_no_clip(
    studio: Studio, write_story: WriteStory, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"fps": 24, "interpolation": "blend", "match_color": True}
    write = {**RECIPES, "style": "delivered"}
    first = rendered(studio, write_story([0.8, 0.5], film=settings, **write), tmp_path / "1")
    assert reused(first) == {"clip": False, "master": False, "film": False}
    assert first.film and first.film.cut and first.film.cut.rate == 24
    for scene in first.scenes:
        assert scene.master and scene.master.drift and scene.master.corrected is False
        info = probe(tmp_path / "1" / "tale" / scene.master.file)
        assert info.fps == Fraction(24) and scene.clip
        assert info.video_seconds == pytest.approx(scene.clip.seconds, abs=0.5 / 24 + 1e-3)
    again = rendered(studio, write_story([0.8, 0.5], film=settings, **write), tmp_path / "2")
    assert reused(again) == {"clip": True, "master": True, "film": True}
    assert {scene.master.key for scene in again.scenes if scene.master} < set(again.keys())
    assert all(step.reused for step in forecast_of(write_story([0.8, 0.5], film=settings, **write), tmp_path))
    boxed = settings | {"burned_captions": "boxed", "pause_after": 0.25}
    finished = rendered(studio, write_story([0.8, 0.5], film=boxed, **write), tmp_path / "3")
    assert reused(finished) == {"clip": True, "master": True, "film": False}
    larger = settings | {"width": 192, "height": 96}
    larger_film = rendered(studio, write_story([0.8, 0.5], film=larger, **write), tmp_path / "4")
    assert reused(larger_film) == {"clip": True, "master": False, "film": False}
    steps = forecast_of(write_story([0.8, 0.5], film=larger, **write), tmp_path)
    assert [(step.kind, step.why) for step in steps if not step.reused] == [
        ("master", "the delivery of the film changed"),
        ("master", "the delivery of the film changed"),
        ("film", "new masters: scene_1, scene_2"),
    ]
    plain = rendered(studio, write_story([0.8, 0.5], film={}, **write), tmp_path / "5")
    assert reused(plain) == {"clip": True, "master": None, "film": False}


def test_a_film_without_new_settings_has_the_key_of_earlier_versions(
    studio: Studio, write_story: WriteStory, tmp_path: Path
) -> None:
    story = write_story([0.5, 0.6], "draft", film={"loudness": False}, style="as before")
    manifest = rendered(studio, story, tmp_path / "out")
    settings = {"join": "cut", "chapters": True, "captions": True, "title": "A tale"}
    texts = [scene["text"] for scene in yaml.safe_load(story.read_text())["scenes"]]
    shots = [
        [scene.clip.sha256, scene.id, text]
        for scene, text in zip(manifest.scenes, texts, strict=True)
        if scene.clip
    ]
    assert manifest.film and manifest.film.key == hash_parts(json.dumps([settings, shots]))


def test_a_draft_has_everything_of_its_film_but_masters(studio: Studio, tmp_path: Path) -> None:
    scenes: list[dict[str, Any]] = [
        {
            "id": "one",
            "prompt": "a pier",
            "text": "It is late.",
            "audio": write_voice(tmp_path / "1.wav", 1.0).name,
        },
        {"id": "two", "prompt": "a boat", "audio": write_voice(tmp_path / "2.wav", 0.6, 200).name},
    ]
    scenes[0] |= {"translations": {"de": "Es ist spät."}, "pause_after": 0.5, "transition": "dip"}
    scenes[1] |= {"music": False}
    film = {
        "width": 96,
        "height": 128,
        "fps": 25,
        "fit": "blur",
        "opening": True,
        "credits": "Music: A tone",
        "card_seconds": 0.6,
        "fade_seconds": 0.2,
        "loudness": -14,
        "music": write_voice(tmp_path / "music.wav", 2.5, 330).name,
        "burned_captions": {"style": "words", "language": "de"},
    }
    story = {
        "project_id": "tale",
        "title": "A tale",
        "profile": "draft",
        "language": "en",
        "scenes": scenes,
        "video_settings": {"resolution": "128x64"},
        "film": film,
    }
    path = tmp_path / "tale.yaml"
    path.write_text(yaml.safe_dump(story), "utf-8")
    manifest = rendered(studio, path, tmp_path / "out")
    folder = tmp_path / "out" / "tale"
    cut = manifest.film.cut if manifest.film else None
    assert cut and cut.is_whole
    assert [(shot.kind, shot.scene, shot.frames, shot.transition, shot.music) for shot in cut.shots] == [
        ("card", "", 15, "dip", True),
        ("scene", "one", 25 + 12, "dip", True),
        ("scene", "two", 16, "dip", False),
        ("card", "", 15, "cut", True),
    ]
    assert cut.sound and cut.sound["loudness"] == pytest.approx(-14, abs=0.3) and cut.sound["true_peak"] <= -1
    info = probe(folder / "film.mp4")
    assert (info.width, info.height, info.fps, info.frames) == (96, 128, 25, 83)
    assert info.subtitles == 2 and len(info.chapters) == 4
    assert {path.name for path in folder.glob("film.*")} == {
        "film.mp4",
        *(f"film.{language}.{suffix}" for language in ("en", "de") for suffix in ("srt", "vtt")),
    }
    assert "Es ist spät." in (folder / "film.de.vtt").read_text("utf-8")
    assert [cue.text for cue in cut.captions["en"]] == ["It is late."]
    assert json.loads((folder / "manifest.json").read_text())["film"]["cut"]["shots"][1]["scene"] == "one"
    assert np.isclose(cut.captions["en"][0].start, 15 / 25, atol=0.1)
