"""Recipes: API workflows for one still, clip or voice, or for the frames of a clip, with parameters and a
result marked by node titles.

A parameter is a node titled `$name`, a stock primitive or loader. Its value is set, or links to it are
redirected to another node. The result is the output linked to the node titled `$still`, `$clip` or, for a
voice, `$audio`, usually a stock Save node, so that the recipe can be run on its own. A recipe for frames has
two nodes titled `$frames`: the loader that is the parameter, and the end.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from .links import Link, Nodes, is_link, title_of
from .problems import Problem, Problems, nearest
from .recipe_faults import inspect_recipe
from .recipe_kinds import FRAMES

__all__ = [
    "FOLDER",
    "FRAMES",
    "Link",
    "Nodes",
    "Profile",
    "Recipe",
    "is_link",
    "load_profile",
    "load_recipe",
    "profile_names",
    "read_recipe",
    "recipes_of",
    "shipped_recipe",
    "title_of",
]

FOLDER = Path(__file__).resolve().parent.parent / "recipes"


@dataclass(frozen=True)
class Recipe:
    """A recipe.

    Attributes:
        nodes: the API workflow.
        parameters: the node id of each parameter, by its name without `$`.
        result: the output that is the still, clip, voice or frames.
    """

    nodes: Nodes
    parameters: dict[str, str]
    result: Link

    def encoded(self) -> set[str]:
        """The nodes whose text goes to a CLIPTextEncode, which interprets parentheses as weights."""
        links = [
            node["inputs"].get("text")
            for node in self.nodes.values()
            if node["class_type"] == "CLIPTextEncode"
        ]
        return {link[0] for link in links if is_link(link)}

    def ordered(self) -> list[str]:
        """The ids of the nodes upstream of the result, in topological order."""
        order: dict[str, None] = {}

        def visit(node_id: str) -> None:
            if node_id not in order:
                for value in self.nodes[node_id]["inputs"].values():
                    if is_link(value):
                        visit(value[0])
                order[node_id] = None

        visit(self.result.node)
        return list(order)


class Profile(NamedTuple):
    """A profile: a description, the recipes for stills and clips, and their default settings.

    Attributes:
        film_settings: settings that films of this profile have, whatever their stories say.
        narrated: the recipe of clips in which no lips move.
        narrated_settings: its default settings.
        reference: the recipe of stills that show characters by their reference images, if there is one.
        interpolation, upscale: the frames recipes of films that use some.
    """

    about: str
    still: Recipe
    clip: Recipe
    still_settings: dict[str, Any]
    clip_settings: dict[str, Any]
    film_settings: dict[str, Any]
    narrated: Recipe
    narrated_settings: dict[str, Any]
    reference: Recipe | None = None
    interpolation: Recipe | None = None
    upscale: Recipe | None = None


def profile_names() -> list[str]:
    """All profiles, from the fastest to the best."""
    return list(_profiles())


def load_profile(name: str) -> Profile:
    """The profile with this name.

    Raises:
        Problems: there is no such profile.
    """
    if name not in _profiles():
        raise Problems(
            [Problem("profile", f"there is no profile {name!r}, {nearest(name, profile_names())}")]
        )
    data = _profiles()[name]
    still, clip, narrated = (
        load_recipe(FOLDER / f"{data[name]}.json", kind)
        for name, kind in (("still", "still"), ("clip", "clip"), ("narrated", "clip"))
    )
    return Profile(
        data["about"],
        still,
        clip,
        data["still_settings"],
        data["clip_settings"],
        data["film_settings"],
        narrated,
        data["narrated_settings"],
    )


def recipes_of(profile: str) -> list[str]:
    """The names of the shipped recipes that a profile uses."""
    return [name for kind in ("still", "clip", "narrated") if (name := _profiles()[profile].get(kind))]


def load_recipe(path: Path, kind: str) -> Recipe:
    """Reads a recipe from an API workflow file.

    Args:
        path: the file, or the name of a shipped one.
        kind: `still`, `clip`, `talking` (a clip that takes the voice), `frames` or `voice`.

    Raises:
        Problems: the file cannot be read, or everything because of which it is not a recipe of this kind.
    """
    if not path.is_file():
        path = shipped_recipe(path.name) or path
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Problems([Problem(str(path), f"cannot be read as a workflow: {error}")]) from None
    return read_recipe(text, kind, str(path))


def shipped_recipe(name: str) -> Path | None:
    """The shipped recipe of a file name. Stories of version 0.1.0 name one by a path where it lay then."""
    path = FOLDER / PurePosixPath(name).name
    return path if path.is_file() else None


def read_recipe(text: str, kind: str, name: str) -> Recipe:
    """Like `load_recipe`, from the text of an API workflow; `name` is for messages."""
    found = inspect_recipe(text, kind)
    if found.faults or found.result is None:
        raise Problems(Problem(name, fault) for fault in found.faults)
    return Recipe(found.nodes, found.parameters, found.result)


def _profiles() -> dict[str, Any]:
    return json.loads((FOLDER / "profiles.json").read_text(encoding="utf-8"))
