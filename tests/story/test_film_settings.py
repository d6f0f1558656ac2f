"""The film section of a story: what it accepts, and what it says about the rest."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from driver.paths import ROOT
from story_studio.story import schema
from story_studio.story.film_settings import BurnedCaptions, FilmSettings, Music
from story_studio.story.formats import FORMATS
from story_studio.story.plan import own_recipes
from story_studio.story.problems import Problems

SCENE = {"id": "a", "prompt": "x", "audio": "v.wav"}


def film(settings: Any) -> FilmSettings:
    parsed = schema.parse({"scenes": [SCENE], "film": settings}).film
    assert parsed
    return parsed


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ({}, None),
        ({"format": "as rendered"}, None),
        ({"format": "Landscape  1080P"}, (1920, 1080)),
        ({"format": "portrait"}, (1080, 1920)),
        ({"format": "1080x1920"}, (1080, 1920)),
        ({"format": "square"}, (1080, 1080)),
        ({"format": "square", "width": 640, "height": 360}, (640, 360)),
    ],
)
def test_formats_have_names(written: dict[str, Any], size: tuple[int, int] | None) -> None:
    assert film(written).size == size


def test_short_forms_mean_the_long_ones() -> None:
    short = film(
        {"music": "song.mp3", "burned_captions": "words", "opening": True, "loudness": True, "fps": "24"}
    )
    assert short == film(
        {
            "music": {"file": "song.mp3"},
            "burned_captions": {"style": "words"},
            "opening": "",
            "loudness": -16,
            "fps": 24,
        }
    )
    off = film({"music": False, "burned_captions": False, "opening": False, "loudness": False})
    assert (off.music, off.burned_captions, off.opening, off.loudness) == (None, None, None, False)


@pytest.mark.parametrize(
    ("settings", "where", "what"),
    [
        ({"format": "big"}, "film.format", "use one of as rendered, landscape 720p"),
        ({"width": 100}, "film", "only one of `width` and `height`"),
        ({"width": 101, "height": 100}, "film.width", "multiple of 2"),
        ({"fps": 23}, "film.fps", "use 24, 25 or 30"),
        ({"fps": 23.5}, "film.fps", "not valid"),
        ({"loudness": 3}, "film.loudness", "-16 or -14"),
        ({"loudness": "loud"}, "film.loudness", "'loud' is not a loudness"),
        ({"loudness": float("nan")}, "film.loudness", "is not a loudness"),
        ({"loudness": 10**400}, "film.loudness", "is not a loudness"),
        ({"upscale": "lanzcos"}, "film.upscale", "use lanczos or model"),
        ({"interpolation": ""}, "film.interpolation", "use motion, blend, repeat or model"),
        ({"music": {"level": -3}}, "film.music.file", "is missing"),
        ({"burned_captions": {"sise": 2}}, "film.burned_captions.sise", "did you mean 'size'?"),
        ({"burned_captions": {"language": "x"}}, "film.burned_captions.language", "en, de or pt-BR"),
        ({"join": "wipe"}, "film.join", "'dip'"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], where: str, what: str) -> None:
    with pytest.raises(Problems) as caught:
        film(settings)
    (problem,) = caught.value.problems
    assert problem.where == where and what in problem.what


def test_files_of_a_story_s_own_are_told_from_ways_to_make_frames() -> None:
    story = schema.parse(
        {
            "scenes": [SCENE],
            "image_settings": {"workflow": "motion"},
            "film": {"interpolation": "blend", "upscale": "mine.json"},
        }
    )
    assert own_recipes(story) == ["image_settings.workflow", "film.upscale"]


@pytest.mark.parametrize(
    ("scene", "where", "what"),
    [
        ({"translations": {"xx yy": "a"}}, "scenes[0].translations.xx yy", "is not a language"),
        ({"translations": {"de": 5}}, "scenes[0].translations.de", "put it in quotes"),
        ({"transition": "wipe"}, "scenes[0].transition", "'crossfade'"),
        ({"pause_after": 11}, "scenes[0].pause_after", "10"),
    ],
)
def test_a_wrong_setting_of_a_scene_is_named(scene: dict[str, Any], where: str, what: str) -> None:
    with pytest.raises(Problems) as caught:
        schema.parse({"scenes": [SCENE | scene]})
    (problem,) = caught.value.problems
    assert problem.where == where and what in problem.what


def test_the_page_has_every_setting() -> None:
    page = (ROOT / "workflows" / "film.md").read_text("utf-8")
    named = set(re.findall(r"`(\w+)`", page))
    fields = {*FilmSettings.model_fields, *Music.model_fields, *BurnedCaptions.model_fields}
    assert fields <= named
    for name in (*FORMATS, "transition", "translations", "language"):
        assert name in page
    example = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert example and film(yaml.safe_load(example[1])["film"]).size == (1920, 1080)
