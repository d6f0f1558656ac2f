"""Recipes by their paths: a story's own, and the shipped ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from story_studio.story.problems import Problems
from story_studio.story.recipes import FOLDER, load_recipe, read_recipe


def test_a_recipe_is_found_where_version_0_1_0_had_it(tmp_path: Path) -> None:
    """Until then the shipped recipes lay in the folder `workflows`, above the demo's story."""
    story_folder = tmp_path / "demo"
    story_folder.mkdir()
    shipped = load_recipe(FOLDER / "z_image_base_still.json", "still")
    assert load_recipe(story_folder / "../z_image_base_still.json", "still") == shipped


def test_a_recipe_of_the_same_name_beside_the_story_comes_first(tmp_path: Path) -> None:
    text = (FOLDER / "title_card_still.json").read_text("utf-8")
    (tmp_path / "z_image_base_still.json").write_text(text)
    recipe = load_recipe(tmp_path / "z_image_base_still.json", "still")
    assert recipe == load_recipe(FOLDER / "title_card_still.json", "still")


def test_a_recipe_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(Problems, match=r"nowhere\.json.*cannot be read as a workflow"):
        load_recipe(tmp_path / "nowhere.json", "still")


@pytest.mark.parametrize("meta", [None, "a title", {"title": None}, {"title": 3}, {}])
def test_a_node_without_a_proper_title_is_no_parameter(meta: object) -> None:
    nodes = json.loads((FOLDER / "title_card_still.json").read_text("utf-8"))
    nodes["99"] = {"class_type": "EmptyImage", "inputs": {}, "_meta": meta}
    before = load_recipe(FOLDER / "title_card_still.json", "still")
    assert read_recipe(json.dumps(nodes), "still", "own.json").parameters == before.parameters
