"""The recipes that a job may name: those of the worker's own installation, by their file names."""

from __future__ import annotations

import json
from functools import reduce

from story_studio.story import recipes
from story_studio.story.plan import own_recipes, profile_of
from story_studio.story.problems import Problem, Problems
from story_studio.story.recipes import Profile, Recipe, load_recipe, shipped_recipe
from story_studio.story.schema import Story

_KINDS = {"image_settings": "still", "video_settings": "clip", "film": "frames", "voice_settings": "voice"}
"""The kind of the recipes that a part of a story names."""


def profile_of_job(story: Story) -> Profile:
    """The profile of a job's story, with the recipes that it names; no file of this machine is opened.

    Raises:
        Problems: the profile does not exist, or a recipe is none that is shipped, or of another kind.
    """
    problems: list[Problem] = []
    for where in own_recipes(story):
        name, kind = recipe_name(story, where), _KINDS[where.partition(".")[0]]
        try:
            _load(name, kind)
        except Problems as error:
            wrong = " ".join(problem.what for problem in error.problems)
            problems.append(Problem(where, wrong if is_shipped(name) else _local(kind)))
    if problems:
        raise Problems(problems)
    return profile_of(story, _load)


def recipe_name(story: Story, where: str) -> str:
    """What a setting of `own_recipes` says."""
    return reduce(getattr, where.split("."), story)


def is_shipped(name: str) -> bool:
    """Whether this is the name of a recipe that is shipped, and not a path."""
    path = shipped_recipe(name)
    return path is not None and path.name == name


def is_same_as_shipped(name: str, recipe: Recipe | None) -> bool:
    """Whether a recipe is the one that every endpoint has under this name."""
    if recipe is None or not is_shipped(name):
        return False
    try:
        return recipe.nodes == json.loads((recipes.FOLDER / name).read_text(encoding="utf-8"))
    except ValueError:
        return False


def _load(name: str, kind: str) -> Recipe:
    if not is_shipped(name):
        raise Problems([Problem(name, _local(kind))])
    return load_recipe(recipes.FOLDER / name, kind)


def _local(kind: str) -> str:
    names = ", ".join(sorted(path.name for path in recipes.FOLDER.glob(f"*_{kind}.json")))
    instead = f"leave it out, or name one that this endpoint has: {names}" if names else "leave it out"
    return f"names a local file, which a job cannot have: {instead}."
