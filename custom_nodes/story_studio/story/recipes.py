"""Recipes: API workflows for one still or one clip, or for the frames of a clip, with parameters and a result
marked by node titles.

A parameter is a node titled `$name`, a stock primitive or loader. Its value is set, or links to it are
redirected to another node. The result is the output linked to the node titled `$still` or `$clip`, usually a
stock Save node, so that the recipe can be run on its own. A recipe for frames has two nodes titled `$frames`:
the loader that is the parameter, and the end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from .problems import Problem, Problems, nearest

FOLDER = Path(__file__).resolve().parent.parent / "recipes"


FRAMES = "frames"
"""The kind of a recipe that changes the frames of a clip."""
_END = "$"
"""In place of a parameter's name: the node at the end. No title gives a parameter this name."""


class Link(NamedTuple):
    """An output of a node: the node's id and the index of the output."""

    node: str
    output: int = 0


Nodes = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Recipe:
    """A recipe.

    Attributes:
        nodes: the API workflow.
        parameters: the node id of each parameter, by its name without `$`.
        result: the output that is the still or clip.
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


def is_link(value: Any) -> bool:
    """Whether an input of an API workflow is a link rather than a constant."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
    )


def title_of(node: Mapping[str, Any]) -> str:
    """The title of a node of an API workflow; empty if it has none."""
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return title if isinstance(title, str) else ""


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


def load_recipe(path: Path, kind: str) -> Recipe:
    """Reads a recipe from an API workflow file; `kind` is `still`, `clip` or `frames`.

    Raises:
        Problems: the file cannot be read or is not a recipe of this kind.
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

    def wrong(what: str) -> Problems:
        return Problems([Problem(name, what)])

    try:
        nodes = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise wrong(f"cannot be read as a workflow: {error}") from None
    if not isinstance(nodes, dict) or not all(
        isinstance(node, dict) and "class_type" in node and isinstance(node.get("inputs"), dict)
        for node in nodes.values()
    ):
        raise wrong("is not an API workflow: export it from ComfyUI with Workflow > Export (API).")
    parameters: dict[str, str] = {}
    for node_id, node in nodes.items():
        title = title_of(node)
        if title.startswith("$"):
            is_end = title == f"${kind}" and (kind != FRAMES or any(map(is_link, node["inputs"].values())))
            role = _END if is_end else title[1:]
            if role in parameters:
                raise wrong(f"has two nodes titled {title}: keep one of them.")
            parameters[role] = node_id
        for input_name, value in node["inputs"].items():
            if is_link(value) and value[0] not in nodes:
                raise wrong(
                    f"input {input_name} of node {node_id} is linked to node {value[0]}, which does not "
                    "exist: export the workflow again."
                )
    end = parameters.pop(_END, None)
    links = [] if end is None else [value for value in nodes[end]["inputs"].values() if is_link(value)]
    if len(links) != 1:
        raise wrong(f"needs one node titled ${kind} with one linked input, the rendered {kind}.")
    recipe = Recipe(nodes, parameters, Link(*links[0]))
    try:
        upstream = set(recipe.ordered())
    except RecursionError:
        raise wrong("has links that form a loop: remove one of them.") from None
    used = {name: node for name, node in parameters.items() if node in upstream}
    if kind == FRAMES and FRAMES not in used:
        raise wrong(
            "needs a second node titled $frames, without links and upstream of the first: the loader whose "
            "place the frames of the clip take."
        )
    return Recipe(nodes, used, recipe.result)


def _profiles() -> dict[str, Any]:
    return json.loads((FOLDER / "profiles.json").read_text(encoding="utf-8"))
