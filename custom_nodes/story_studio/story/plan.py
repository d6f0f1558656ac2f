"""Plans: stories with the profile, recipes and input files that their graphs need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .film_settings import MODEL, WAYS
from .recipes import Profile, Recipe, load_profile, load_recipe
from .references import check_references, takes_references
from .schema import Story


class Files(NamedTuple):
    """The input files of a scene, as paths in the server's input folder.

    Attributes:
        audio: its voice; None for a silent scene, or an own clip with its own sound.
        image: its own image.
        clip: its own clip.
        seconds: length of the voice or of the silent scene; 0 if it is not known.
    """

    audio: str | None
    image: str | None
    clip: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Plan:
    """A story with everything its graph needs.

    Attributes:
        story: the story.
        profile: its profile, with the story's own recipes in place.
        files: the input files of each scene, by scene id.
        clips: whether clips and the film are rendered, or only stills.
        music: the film's music, as a path in the server's input folder.
        references: the characters' own reference images, by character, as paths in that folder.
    """

    story: Story
    profile: Profile
    files: dict[str, Files]
    clips: bool = True
    music: str | None = None
    references: dict[str, str] = field(default_factory=dict)


def _from_file(own: str, kind: str) -> Recipe:
    return load_recipe(Path(own), kind)


def profile_of(story: Story, load: Callable[[str, str], Recipe] = _from_file) -> Profile:
    """The profile of a story, with the recipes that it names itself.

    Args:
        story: the story.
        load: returns a recipe for its name in the story and its kind, a key of `KINDS`.

    Raises:
        Problems: the profile does not exist, or from `load`.
    """
    profile = load_profile(story.profile)
    profile = _with_own_stills(story, profile, load)
    if own := story.video_settings.workflow:
        profile = profile._replace(clip=load(own, "talking"), clip_settings={})
    if own := story.video_settings.narrated_workflow:
        profile = profile._replace(narrated=load(own, "clip"), narrated_settings={})
    for way in ("interpolation", "upscale"):
        chosen = film_setting(story, profile, way)
        if chosen == MODEL:
            profile = profile._replace(**{way: load_recipe(Path(f"{way}_model_frames.json"), "frames")})
        elif chosen and chosen not in WAYS:
            profile = profile._replace(**{way: load(chosen, "frames")})
    return profile


def _with_own_stills(story: Story, profile: Profile, load: Callable[[str, str], Recipe]) -> Profile:
    settings = story.image_settings
    # A card has a subject, not a face: drafts stay without models.
    is_card = "subject" in profile.still.parameters
    if settings.workflow:
        own = load(settings.workflow, "still")
        if story.characters and takes_references(own):
            # Scenes without characters are drawn as the profile says.
            profile = profile._replace(reference=check_references(own, "image_settings.workflow"))
        else:
            profile = profile._replace(still=own, still_settings={})
    if settings.reference_workflow:
        own = check_references(
            load(settings.reference_workflow, "still"), "image_settings.reference_workflow"
        )
        if story.characters and not is_card:
            profile = profile._replace(reference=own)
    return profile


def film_setting(story: Story, profile: Profile, name: str) -> Any:
    """A setting of the film; None without a film."""
    return profile.film_settings.get(name, getattr(story.film, name)) if story.film else None


def own_recipes(story: Story) -> list[str]:
    """The settings that name a workflow file of the story's own."""
    workflows = {
        "image_settings.workflow": story.image_settings.workflow,
        "image_settings.reference_workflow": story.image_settings.reference_workflow,
        "video_settings.workflow": story.video_settings.workflow,
        "video_settings.narrated_workflow": story.video_settings.narrated_workflow,
        "voice_settings.workflow": story.voice_settings.workflow,
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
