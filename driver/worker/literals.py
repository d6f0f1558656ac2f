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


def literals_of(
    value: Any, nodes: Mapping[str, Any], classes: Mapping[str, Any], seen: frozenset[str] = frozenset()
) -> Iterator[Literal]:
    """The texts in an input's value, and those behind its link."""
    by_itself = isinstance(value, str)
    if isinstance(value, dict) and "__value__" in value:
        # ComfyUI unpacks it before it looks for links.
        value = value["__value__"]
    if not is_link(value):
        for text in strings_in(value):
            yield Literal(text, by_itself, "")
        return
    node = nodes.get(value[0])
    if node is None:
        # That it is linked to nothing is reported elsewhere.
        return
    name = node["class_type"]
    stock = str(classes.get(name, {}).get("python_module", "")).startswith("comfy_extras.")
    if not stock or name not in _HOLDERS or value[0] in seen:
        yield Literal(None, False, name)
        return
    for input_name in _HOLDERS[name]:
        yield from literals_of(node["inputs"].get(input_name), nodes, classes, seen | {value[0]})


def strings_in(value: Any) -> Iterator[str]:
    """Every text in a value, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings_in(item)


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
