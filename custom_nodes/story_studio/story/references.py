"""References in a recipe: images of characters, in `$reference`, `$reference_2` and `$reference_3`."""

from __future__ import annotations

from collections.abc import Collection

from .problems import Problem, Problems
from .recipes import Recipe, is_link

REFERENCES = ("reference", "reference_2", "reference_3")
_OPTIONAL = {
    "ImageStitch": {"image2"},
    "ReferenceLatent": {"latent"},
    "TextEncodeQwenImageEdit": {"image"},
    "TextEncodeQwenImageEditPlus": {"image1", "image2", "image3"},
    "TextEncodeZImageOmni": {"image1", "image2", "image3"},
}
"""The inputs that stock nodes can be without, by class."""


def takes_references(recipe: Recipe) -> bool:
    """Whether a still recipe shows characters by their reference images."""
    return REFERENCES[0] in recipe.parameters


def most_references(recipe: Recipe) -> int:
    """How many reference images a recipe takes."""
    return sum(name in recipe.parameters for name in REFERENCES)


def without_references(recipe: Recipe, names: Collection[str]) -> Recipe:
    """The recipe without some of its references, and without the nodes that cannot be without them.

    Raises:
        Problems: the result cannot be made without them.
    """
    gone = {recipe.parameters[name] for name in names if name in recipe.parameters}
    if not gone:
        return recipe
    nodes = dict(recipe.nodes)
    for node_id in recipe.ordered():
        node = recipe.nodes[node_id]
        lost = {name for name, value in node["inputs"].items() if is_link(value) and value[0] in gone}
        if all(_is_optional(node["class_type"], name) for name in lost):
            inputs = {name: value for name, value in node["inputs"].items() if name not in lost}
            nodes[node_id] = node | {"inputs": inputs}
        else:
            gone.add(node_id)
    if recipe.result.node in gone:
        raise Problems([Problem("", _needed(recipe, names))])
    parameters = {name: node for name, node in recipe.parameters.items() if node not in gone}
    kept = {node_id: node for node_id, node in nodes.items() if node_id not in gone}
    return Recipe(kept, parameters, recipe.result)


def check_references(recipe: Recipe, where: str) -> Recipe:
    """The recipe, if it takes references and a scene may have fewer characters than it takes.

    Raises:
        Problems: it does not, with the place `where` that names it.
    """
    if not takes_references(recipe):
        what = (
            "the recipe has no node titled $reference, a Load Image: title one so, or choose another recipe."
        )
        raise Problems([Problem(where, what)])
    try:
        without_references(recipe, REFERENCES[1:])
    except Problems as error:
        raise Problems([problem._replace(where=where) for problem in error.problems]) from None
    return recipe


def _is_optional(cls: str, name: str) -> bool:
    # Lists of images that grow have inputs like `images.image_1`.
    return name in _OPTIONAL.get(cls, ()) or "." in name


def _needed(recipe: Recipe, names: Collection[str]) -> str:
    titles = " and ".join(f"${name}" for name in names if name in recipe.parameters)
    return (
        f"the recipe cannot do without {titles}, which a scene with fewer characters leaves out: link it to "
        "an input that may be empty, such as those of TextEncodeQwenImageEditPlus or ReferenceLatent."
    )
