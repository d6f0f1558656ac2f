"""The characters and LoRAs of an API workflow, read from its character sheets and chains of LoRAs."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from .characters import mentioned_in, with_names
from .classes import LOAD_IMAGE
from .loras import LOADER
from .part import ID_PATTERN
from .recipes import FOLDER, Nodes, load_recipe
from .references import takes_references
from .scenes import Workflow, is_not_still, sheets_in
from .settings import Character
from .still_graph import SHEET_PROMPT

_SHEET = re.compile(re.escape(SHEET_PROMPT).replace(r"\{\}", "(.*?)") + ".*", re.DOTALL)
_MODELS = ("unet_name", "ckpt_name")


class Cast(NamedTuple):
    """Who is in a workflow.

    Attributes:
        characters: the `characters` of a story file.
        loras: the LoRAs that all stills have, as in a story file.
        reference_workflow: the file name of the shipped recipe that takes the sheets; empty without one.
        warnings: sentences about what has no place in the story.
    """

    characters: dict[str, dict[str, Any]]
    loras: list[Any]
    reference_workflow: str
    warnings: list[str]

    @property
    def known(self) -> dict[str, Character]:
        """The characters as a story has them."""
        return {key: Character.model_validate(fields) for key, fields in self.characters.items()}


def read_cast(workflow: Workflow, project: str, drawn: Sequence[str]) -> Cast:
    """The characters and LoRAs of a workflow.

    Args:
        workflow: the workflow.
        project: the id of its project, with which the names of sheets begin.
        drawn: the Stills of scenes that are no images of their author's.
    """
    sheets = {
        sheet_key(workflow, sheet, project): sheet for sheet in sorted(sheets_in(workflow).difference(drawn))
    }
    chains = {still: _loras_above(workflow, still) for still in (*drawn, *sheets.values())}
    # Those of every still; a character's are in its sheet, too.
    common = [lora for lora in next(iter(chains.values()), []) if all(lora in one for one in chains.values())]
    own = {key: [lora for lora in chains[sheet] if lora not in common] for key, sheet in sheets.items()}
    characters = {key: _character(workflow, sheet, own[key]) for key, sheet in sheets.items()}
    placed = [*common, *(lora for loras in own.values() for lora in loras)]
    lost = {lora[0]: None for still in drawn for lora in chains[still] if lora not in placed}
    warnings = [
        f"The LoRA {file} is in some stills, and in no character sheet, so it is not in the story file: "
        "give it to a character there, or all stills the same LoRAs."
        for file in lost
    ]
    images = _references_above(workflow, drawn)
    if images:
        warnings.append(
            f"The reference images {', '.join(images)} are not in the story file: name each there as the "
            "`reference` of a character."
        )
    recipe = _reference_recipe(workflow, drawn) if sheets or images else ""
    if (sheets or images) and not recipe:
        warnings.append(
            "No shipped recipe makes stills from references as this workflow does: export these nodes as a "
            "recipe, and name its file in `image_settings.reference_workflow`."
        )
    return Cast(characters, _written(common), recipe, warnings)


def with_mentions(drawn: str, cast: Mapping[str, Character]) -> str:
    """A still's prompt with names in braces in place of the descriptions of characters."""
    for key, character in cast.items():
        description = character.description.rstrip(". ,")
        if not description:
            continue
        if description in drawn:
            drawn = drawn.replace(description, f"{{{key}}}", 1)
        elif (capital := description[0].upper() + description[1:]) in drawn:
            drawn = drawn.replace(capital, f"{{{key[0].upper() + key[1:]}}}", 1)
    return drawn


def split_style(drawn: str, shown: str, cast: Mapping[str, Character]) -> str | None:
    """The beginning of a still's prompt that people read as `shown`; None if it names no character."""
    if not mentioned_in(drawn, cast):
        return None
    start, named = shown.rstrip(". ,"), with_names(drawn, cast)
    if named != start and not named.startswith(f"{start}, "):
        return None
    style = named[len(start) :]
    return drawn.removesuffix(style) if style else drawn


def sheet_key(workflow: Workflow, sheet: str, project: str) -> str:
    """The key of the character that a sheet shows."""
    name = workflow.text(workflow.nodes[sheet]["inputs"].get("name"))
    key = name.removeprefix(f"{project}_").removesuffix("_sheet")
    return key if re.fullmatch(ID_PATTERN, key) else f"character_{sheet}"


def _character(workflow: Workflow, sheet: str, loras: Sequence[tuple[str, float]]) -> dict[str, Any]:
    prompt = workflow.prompt(workflow.inputs_above(sheet, "positive").get("positive")) or ""
    found = _SHEET.fullmatch(prompt)
    fields = {
        "description": found[1] if found else prompt,
        "reference_take": workflow.text(workflow.nodes[sheet]["inputs"].get("take")),
        "loras": _written(loras),
    }
    return {name: value for name, value in fields.items() if value}


def _loras_above(workflow: Workflow, still: str) -> list[tuple[str, float]]:
    """The files and strengths of the LoRAs in the model of a still, in order."""
    found: list[tuple[str, float]] = []
    for _, node in workflow.upstream(still, through=is_not_still):
        if node["class_type"] == LOADER:
            file = workflow.constant(node["inputs"].get("lora_name"))
            strength = workflow.number(node["inputs"].get("strength_model"))
            if isinstance(file, str) and strength is not None:
                found.insert(0, (file, strength))
    return found


def _written(loras: Sequence[tuple[str, float]]) -> list[Any]:
    return [file if strength == 1 else {"file": file, "strength": strength} for file, strength in loras]


def _references_above(workflow: Workflow, drawn: Collection[str]) -> list[str]:
    """The names of the images that stills are made from."""
    names = {
        name
        for still in drawn
        for _, node in workflow.upstream(still, through=is_not_still)
        if node["class_type"] == LOAD_IMAGE
        and isinstance(name := workflow.constant(node["inputs"].get("image")), str)
    }
    return sorted(names)


def _reference_recipe(workflow: Workflow, drawn: Collection[str]) -> str:
    """The shipped recipe that takes references and loads a model that these stills are made with."""
    above = [node for still in drawn for _, node in workflow.upstream(still, through=is_not_still)]
    models = _models({str(number): node for number, node in enumerate(above)})
    for path in sorted(FOLDER.glob("*_still.json")):
        recipe = load_recipe(path, "still")
        if takes_references(recipe) and _models(recipe.nodes) <= models:
            return path.name
    return ""


def _models(nodes: Nodes) -> set[Any]:
    return {node["inputs"][name] for node in nodes.values() for name in _MODELS if name in node["inputs"]}
