"""Plans: stories with the profile, recipes and input files that their graphs need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .film_settings import MODEL, WAYS
from .recipes import Profile, Recipe, load_profile, load_recipe
from .schema import Story


class Files(NamedTuple):
    """The input files of a scene, as paths in the server's input folder."""

    audio: str
    image: str | None


@dataclass(frozen=True)
class Plan:
    """A story with everything its graph needs.

    Attributes:
        story: the story.
        profile: its profile, with the story's own recipes in place.
        files: the input files of each scene, by scene id.
        clips: whether clips and the film are rendered, or only stills.
        music: the film's music, as a path in the server's input folder.
    """

    story: Story
    profile: Profile
    files: dict[str, Files]
    clips: bool = True
    music: str | None = None


def _from_file(own: str, kind: str) -> Recipe:
    return load_recipe(Path(own), kind)


def profile_of(story: Story, load: Callable[[str, str], Recipe] = _from_file) -> Profile:
    """The profile of a story, with the recipes that it names itself.

    Args:
        story: the story.
        load: returns a recipe for its name in the story and its kind, `still`, `clip` or `frames`.

    Raises:
        Problems: the profile does not exist, or from `load`.
    """
    profile = load_profile(story.profile)
    if own := story.image_settings.workflow:
        profile = profile._replace(still=load(own, "still"), still_settings={})
    if own := story.video_settings.workflow:
        profile = profile._replace(clip=load(own, "clip"), clip_settings={})
    for way in ("interpolation", "upscale"):
        chosen = film_setting(story, profile, way)
        if chosen == MODEL:
            profile = profile._replace(**{way: load_recipe(Path(f"{way}_model_frames.json"), "frames")})
        elif chosen and chosen not in WAYS:
            profile = profile._replace(**{way: load(chosen, "frames")})
    return profile


def film_setting(story: Story, profile: Profile, name: str) -> Any:
    """A setting of the film; None without a film."""
    return profile.film_settings.get(name, getattr(story.film, name)) if story.film else None


def own_recipes(story: Story) -> list[str]:
    """The settings that name a workflow file of the story's own."""
    workflows = {
        "image_settings.workflow": story.image_settings.workflow,
        "video_settings.workflow": story.video_settings.workflow,
    }
    film = story.film
    ways = {"film.interpolation": film.interpolation, "film.upscale": film.upscale} if film else {}
    files = workflows | {where: way for where, way in ways.items() if way not in WAYS}
    return [where for where, file in files.items() if file]


def plan_of(story: Story, files: dict[str, Files], load: Callable[[str, str], Recipe]) -> Plan:
    """The plan of a story; `files` are the inputs of each scene, by its id, and `load` as in `profile_of`.

    Raises:
        Problems: the profile does not exist, or from `load`.
    """
    return Plan(story, profile_of(story, load), files)
