"""What of a recipe does not fit the ComfyUI that is to run it, judging from the classes of its nodes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from story_studio.story.links import Link, Nodes, is_link
from story_studio.story.model_files import is_model_file
from story_studio.story.problems import nearest
from story_studio.story.recipe_faults import named

from .models import missing_of, options_of
from .node_origins import remedy

Classes = Mapping[str, Mapping[str, Any]]
"""A server's `object_info`."""

_DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"


def check_nodes(nodes: Nodes, classes: Classes, replaced: Collection[str] = ()) -> list[str]:
    """What is wrong with the nodes of a recipe, a sentence each; links to nowhere are ignored.

    Args:
        nodes: an API workflow.
        classes: what the server has.
        replaced: the nodes whose values a story replaces, such as an image: those need not exist.
    """
    found = []
    for node_id, node in nodes.items():
        if node["class_type"] in classes:
            found += _check_inputs(node_id, nodes, classes, node_id in replaced)
        else:
            found.append(
                f"{_in_sentence(node_id, node)} is unknown here: {remedy(node['class_type'], classes)}"
            )
    found += [f"a model file is missing: {model}" for model in missing_of(nodes, classes)]
    return found


def _check_inputs(node_id: str, nodes: Nodes, classes: Classes, is_replaced: bool) -> Iterator[str]:
    node = nodes[node_id]
    declared, required, open_prefixes = _declared(node, classes)
    where = _in_sentence(node_id, node)
    for name in sorted(required - node["inputs"].keys()):
        yield f"{where} lacks its input {name}: link it or give it a value."
    for name, value in node["inputs"].items():
        if name not in declared:
            # Nodes may take inputs that they do not declare, and ComfyUI ignores the rest.
            if is_link(value) and not name.startswith(open_prefixes):
                yield f"{where} has no input {name}: {nearest(name, declared)}"
        elif is_link(value):
            yield from _check_link(where, name, Link(*value), declared[name], nodes, classes)
        elif not is_replaced:
            yield from _check_value(where, name, value, declared[name])


def _declared(node: Mapping[str, Any], classes: Classes) -> tuple[dict[str, Any], set[str], tuple[str, ...]]:
    """The inputs that a node has as it is set, those that it needs, and beginnings of names that it takes."""
    declared: dict[str, Any] = {}
    required: set[str] = set()
    prefixes: list[str] = []

    def add(inputs: Mapping[str, Mapping[str, Any]], prefix: str) -> None:
        for category in ("required", "optional"):
            for short, about in inputs.get(category, {}).items():
                name = f"{prefix}{short}"
                declared[name] = about
                kind, settings = about[0], (about[1] if len(about) > 1 else {})
                if kind == _DYNAMIC_COMBO:
                    chosen = node["inputs"].get(name)
                    for option in settings.get("options", []):
                        if option["key"] == chosen:
                            add(option["inputs"], f"{name}.")
                elif isinstance(kind, str) and kind.startswith("COMFY_"):
                    prefixes.append(f"{name}.")
                    continue
                if category == "required" and kind != _DYNAMIC_COMBO:
                    # ComfyUI does not ask for a choice that further inputs depend on.
                    required.add(name)

    add(classes[node["class_type"]].get("input", {}), "")
    return declared, required, tuple(prefixes)


def _check_link(
    where: str, name: str, link: Link, about: Any, nodes: Nodes, classes: Classes
) -> Iterator[str]:
    source = nodes.get(link.node)
    if source is None or source["class_type"] not in classes:
        return
    outputs = classes[source["class_type"]].get("output", [])
    at = _in_sentence(link.node, source)
    if not 0 <= link.output < len(outputs):
        yield f"input {name} of {where} is linked to output {link.output} of {at}, which has {len(outputs)}."
        return
    given, wanted = outputs[link.output], about[0]
    if not isinstance(given, str) or not isinstance(wanted, str) or options_of(about) is not None:
        return
    if "*" in (given, wanted) or wanted.startswith("COMFY_") or given.startswith("COMFY_"):
        return
    if not set(given.split(",")) & set(wanted.split(",")):
        yield f"input {name} of {where} takes {wanted}, and {at} gives {given}: link another output."


def _check_value(where: str, name: str, value: Any, about: Any) -> Iterator[str]:
    options = options_of(about)
    settings = about[1] if len(about) > 1 and isinstance(about[1], dict) else {}
    if about[0] == _DYNAMIC_COMBO:
        options = [option["key"] for option in settings.get("options", [])]
    if options is not None:
        if value not in options and not is_model_file(value):
            hint = nearest(str(value), map(str, options)) if options else "it has none to choose."
            yield f"{where} has no {name} {value!r}: {hint}"
    elif about[0] in ("INT", "FLOAT") and isinstance(value, int | float):
        low, high = settings.get("min"), settings.get("max")
        if (low is not None and value < low) or (high is not None and value > high):
            yield f"{name} of {where} is {value}, and has to be from {low} to {high}."


def _in_sentence(node_id: str, node: Mapping[str, Any]) -> str:
    text = named(node_id, node)
    return text if node["class_type"] in text else f"{text[:-1]}, {node['class_type']})"
