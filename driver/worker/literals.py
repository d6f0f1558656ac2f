"""The texts that reach an input of a workflow's node: its own, and those of nodes that it is linked to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from story_studio.story.recipes import is_link

_HOLDERS = {
    "PrimitiveString": ("value",),
    "PrimitiveStringMultiline": ("value",),
    "CustomCombo": ("choice",),
    "ComfySwitchNode": ("on_true", "on_false"),
}
"""Nodes that pass on a text as it stands, and the inputs that may hold it."""
_PLAIN = {
    *("STRING", "INT", "FLOAT", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3", "COMFY_MATCHTYPE_V3", "*"),
    *("COLOR", "COLORS", "CURVE", "HISTOGRAM", "COMPOSITOR", "IMAGECOMPARE", "DICT", "ARRAY", "FLOATS"),
    *("BOUNDING_BOX", "BOUNDING_BOXES", "LOAD_3D", "LOAD3D_CAMERA", "LOAD3D_MODEL_INFO"),
}
"""Types of inputs whose value may be written into a workflow. All others are made by nodes, though ComfyUI
passes a text to them unchecked."""
_TEXTS = {"STRING", "COMBO", "*", "COMFY_MATCHTYPE_V3"}


class Literal(NamedTuple):
    """A text that reaches an input.

    Attributes:
        text: None if it is computed.
        replaced: whether it stands where the names of the job's files are replaced: in an input by itself.
        source: the class of the node that computes it.
    """

    text: str | None
    replaced: bool
    source: str


def literals_of(value: Any, nodes: Mapping[str, Any], classes: Mapping[str, Any]) -> list[Literal]:
    """The texts in an input's value, and those behind its link, each node's once."""
    literals: list[Literal] = []
    pending, seen = [value], set[str]()
    while pending:
        value = pending.pop()
        by_itself = isinstance(value, str)
        if isinstance(value, dict) and "__value__" in value:
            # ComfyUI unpacks it before it looks for links.
            value = value["__value__"]
        if not is_link(value):
            literals += [Literal(text, by_itself, "") for text in (*strings_in(value), *keys_in(value))]
        elif (node := nodes.get(value[0])) is not None and value[0] not in seen:
            seen.add(value[0])
            name = node["class_type"]
            stock = str(classes.get(name, {}).get("python_module", "")).startswith("comfy_extras.")
            if stock and name in _HOLDERS:
                pending += [node["inputs"].get(input_name) for input_name in _HOLDERS[name]]
            else:
                literals.append(Literal(None, False, name))
    return literals


def strings_in(value: Any) -> Iterator[str]:
    """Every text in a value, at any depth."""
    return (item for item in _all_in(value) if isinstance(item, str))


def keys_in(value: Any) -> Iterator[str]:
    """Every key in a value, at any depth: ComfyUI turns an object into text for an input that takes text."""
    return (key for item in _all_in(value) if isinstance(item, dict) for key in item)


def describes_file(value: Any) -> bool:
    """Whether there is an object in a value, at any depth, such as ComfyUI describes a saved file by."""
    return any(isinstance(item, dict) and "filename" in item for item in _all_in(value))


def _all_in(value: Any) -> Iterator[Any]:
    pending = [value]
    while pending:
        yield (value := pending.pop())
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value


def declared(inputs: Mapping[str, Any], name: str) -> Any:
    """What a class declares for an input: [type, options]; None if it does not.

    An input `a.b` belongs to the dynamic input `a`, which declares it in one of its choices or its template.
    """
    every = _flat(inputs)
    if name in every:
        return every[name]
    parent, _, rest = name.partition(".")
    spec = every.get(parent)
    if not rest or spec is None or len(spec) < 2:
        return None
    options = spec[1]
    if template := options.get("template", {}).get("input"):
        return next(iter(_flat(template).values()), None)
    choices = [choice["inputs"] for choice in options.get("options") or [] if isinstance(choice, dict)]
    return next((found for choice in choices if (found := declared(choice, rest)) is not None), None)


def is_plain(kind: Any) -> bool:
    """Whether a value of an input of this type may be written into a workflow."""
    return isinstance(kind, list) or not _PLAIN.isdisjoint(part.strip() for part in str(kind).split(","))


def may_be_text(link: Any, nodes: Mapping[str, Any], classes: Mapping[str, Any]) -> bool:
    """Whether an output that is linked to may be a text, by the type that its class declares."""
    node = nodes.get(link[0])
    if node is None:
        return False
    outputs = classes.get(node["class_type"], {}).get("output") or []
    kind = outputs[link[1]] if 0 <= link[1] < len(outputs) else "*"
    return isinstance(kind, list) or not _TEXTS.isdisjoint(part.strip() for part in str(kind).split(","))


def _flat(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {**(inputs.get("required") or {}), **(inputs.get("optional") or {})}
