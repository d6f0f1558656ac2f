"""LoRAs in a recipe: a chain of stock loaders behind the model that its node titled `$model` loads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .recipes import Link, Recipe, is_link
from .settings import Lora

LOADER = "LoraLoaderModelOnly"
MODEL = "model"
"""The name of the parameter whose first output is the model."""


def with_loras(recipe: Recipe, loras: Sequence[Lora]) -> Recipe:
    """The recipe with these LoRAs in its model, in order; unchanged without LoRAs, or without `$model`."""
    model = recipe.parameters.get(MODEL)
    if model is None or not (loras := distinct(loras)):
        return recipe
    chain = {
        f"{model} lora {number}": {
            "class_type": LOADER,
            "inputs": {"lora_name": lora.file, "strength_model": lora.strength},
            "_meta": {"title": f"LoRA {lora.file.rpartition('/')[2].rpartition('.')[0] or lora.file}"},
        }
        for number, lora in enumerate(loras, 1)
    }
    before = Link(model)
    for node_id, node in chain.items():
        node["inputs"] = {"model": list(before)} | node["inputs"]
        before = Link(node_id)
    nodes = {
        node_id: node
        | {
            "inputs": {
                name: list(before) if is_link(value) and Link(*value) == Link(model) else value
                for name, value in node["inputs"].items()
            }
        }
        for node_id, node in recipe.nodes.items()
    }
    return Recipe(nodes | chain, recipe.parameters, recipe.result)


def distinct(loras: Iterable[Lora]) -> list[Lora]:
    """The LoRAs that have an effect, each file once: the story's and a character's may be the same."""
    by_file: dict[str, Lora] = {}
    for lora in loras:
        by_file.setdefault(lora.file, lora)
    return [lora for lora in by_file.values() if lora.strength]
