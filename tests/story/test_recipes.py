"""Recipes: the messages about files that are not one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from story_studio.story import recipes
from story_studio.story.problems import Problems


def node(title: str, cls: str = "PrimitiveInt", **inputs: Any) -> dict[str, Any]:
    return {"class_type": cls, "inputs": inputs, "_meta": {"title": title}}


IMAGE = node("image", "EmptyImage", width=["1", 0])
STILL = node("$still", "SaveImage", images=["2", 0])


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([], "is not an API workflow"),
        ({"1": {"class_type": "SaveImage"}}, "is not an API workflow"),
        ({"1": node("$width", value=1), "2": IMAGE}, "needs one node titled $still"),
        ({"1": node("$width", value=1), "2": IMAGE, "3": STILL, "4": STILL}, "has two nodes titled $still"),
        ({"2": IMAGE, "3": STILL}, "input width of node 2 is linked to node 1, which does not exist"),
        ({"1": node("$width", value=["2", 0]), "2": IMAGE, "3": STILL}, "has links that form a loop"),
    ],
)
def test_a_message_names_the_file_and_the_error(nodes: Any, message: str) -> None:
    with pytest.raises(Problems) as caught:
        recipes.read_recipe(json.dumps(nodes), "still", "mine.json")
    (problem,) = caught.value.problems
    assert problem.where == "mine.json" and message in problem.what


def test_only_parameters_with_an_effect_count() -> None:
    nodes = {"1": node("$width", value=1), "2": IMAGE, "3": STILL, "4": node("$seed", value=1)}
    recipe = recipes.read_recipe(json.dumps(nodes), "still", "mine.json")
    assert recipe.parameters == {"width": "1"} and recipe.result == ("2", 0)
