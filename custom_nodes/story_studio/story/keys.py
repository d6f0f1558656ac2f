"""Keys of finished stills, clips and masters: a hash of the graph that they are made from.

Node ids, names, order (`after`) and inputs that a node's class does not declare are not part of a key, so
another server or machine finds the results that exist. A constant counts the same whether it is typed or
linked from a primitive node. The key of what is made from a still or clip includes the key of that still or
clip, so choosing an earlier take leads to what was made from it before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from .pins import Pin, read_pin
from .recipes import is_link
from .results import RETAKE, Kind
from .scene_prompt import NODE as SCENE_PROMPT
from .scene_prompt import joined

PASSING = {Kind.STILL.node: "image", Kind.CLIP.node: "video", RETAKE: "video"}
"""The nodes that keep what goes through them, and the input that it comes by."""
NAMED = frozenset((Kind.MASTER.node, Kind.CHECK.node))
"""The nodes that keep what they make themselves, under a `name` that is not part of it."""
RETAKES = tuple(f"retake_{number}" for number in range(1, 6))
"""The inputs of a Check Clip that it requests one after the other, while the clip fails."""
ORDER = "after"
"""The input that only says what a node waits for."""
PRIMITIVES = frozenset(
    ("PrimitiveBoolean", "PrimitiveFloat", "PrimitiveInt", "PrimitiveString", "PrimitiveStringMultiline")
)
"""Stock nodes whose output is their only widget, `value`."""
STAND_INS = {"StoryStudio_TextEncoder": "CLIPLoader"}
"""Our nodes that load what a stock node loads; keys name the stock one, whichever made the result."""
MAX_SCENE_PROMPTS = 4
"""How many Scene Prompts may be made from each other: they have three inputs, so a long chain has no end."""
UNDECLARED = object()
"""Stands for the default of an input that the node's class does not declare."""
Node = dict[str, Any]

_LINKED = {
    "prompt": "PrimitiveStringMultiline",
    "text": "PrimitiveStringMultiline",
    "heading": "PrimitiveString",
    "width": "PrimitiveInt",
    "height": "PrimitiveInt",
    "seed": "PrimitiveInt",
    "noise_seed": "PrimitiveInt",
    "steps": "PrimitiveInt",
    "cfg": "PrimitiveFloat",
    "guidance": "PrimitiveFloat",
}
"""Inputs whose constants are hashed as the output of a primitive node; the others are hashed as typed.

Version 0.1.0 hashed constants as they stood in the graph, and these are the inputs that recipes link to their
parameters. A change here changes the keys of existing results.
"""


class Keys:
    """The keys of one graph's nodes.

    Args:
        get_node: a node of an API workflow by its id.
        default_of: the constant at which an input has no effect, by class and name: the default of an
            optional input, UNDECLARED, or None where each constant has one.
        fingerprint: what is known of the files that a node reads.
        as_written: hash constants as they stand in the graph, as version 0.1.0 did, to find its results.
        judge: the keys by which a pin holds or lets go; those of earlier versions take today's.
    """

    def __init__(
        self,
        get_node: Callable[[str], Node],
        default_of: Callable[[str, str], Any],
        fingerprint: Callable[[Node], str],
        as_written: bool = False,
        judge: Keys | None = None,
    ):
        self._get_node, self._default_of, self._fingerprint = get_node, default_of, fingerprint
        self._as_written, self._judge = as_written, judge or self
        self._known: dict[str, str] = {}

    def of(self, node_id: str) -> str:
        """24 hexadecimal digits for a node's output; for a Still, Clip or Retake, the key of its input, or
        the take that is chosen in it, while that holds."""
        # A clip of many segments is deeper than Python calls functions, so what is upstream comes first.
        waiting, seen = [node_id], set[str]()
        while waiting:
            current = waiting[-1]
            if current in seen or current in self._known:
                waiting.pop()
                if current not in self._known:
                    self._known[current] = self._of_known(current)
            else:
                seen.add(current)
                waiting += self._made_from(current)
        return self._known[node_id]

    def own(self, node_id: str) -> str:
        """24 hexadecimal digits for what a Still, Clip or Retake is linked to, whatever take is chosen."""
        node = self._get_node(node_id)
        return self._of_value(node["inputs"].get(PASSING[node["class_type"]]))

    def pin(self, node_id: str) -> Pin | None:
        """The take that is chosen in a Still or Clip, whether it holds or not."""
        return read_pin(constant(self._get_node, self._get_node(node_id)["inputs"].get("take")))

    def holds(self, node_id: str) -> bool:
        """Whether the take that is chosen in a Still or Clip is used; False if none is chosen."""
        pin = self.pin(node_id)
        return bool(pin) and (not pin.own or pin.own == self._judge.own(node_id))

    def _made_from(self, node_id: str) -> list[str]:
        """The nodes whose keys are part of a node's."""
        node = self._get_node(node_id)
        inputs = node["inputs"]
        if passed := PASSING.get(node["class_type"]):
            pin = self.pin(node_id)
            if pin and not pin.own:
                return []
            inputs = {passed: inputs.get(passed)}
        elif only := _checked_only(node):
            inputs = {"clip": only}
        return [value[0] for name, value in inputs.items() if name != ORDER and is_link(value)]

    def _of_known(self, node_id: str) -> str:
        node = self._get_node(node_id)
        inputs = node["inputs"]
        if passed := PASSING.get(node["class_type"]):
            pin = self.pin(node_id)
            return pin.key if pin and self.holds(node_id) else self._of_value(inputs.get(passed))
        if only := _checked_only(node):
            # Its output is that of the clip, so what is made from it has the same key as without a check.
            return self.of(only[0])
        return self._of_node(node)

    def _of_node(self, node: Node) -> str:
        if (text := _scene_prompt(self._get_node, node)) is not None:
            # The driver's graph has the joined text in its place.
            node = {"class_type": "PrimitiveStringMultiline", "inputs": {"value": text}}
        cls = class_of(node)
        parts = []
        for name, written in sorted(node["inputs"].items()):
            value = written if self._as_written else constant(self._get_node, written)
            if name == ORDER or (name == "name" and cls in NAMED):
                continue
            if not is_link(value):
                default = self._default_of(cls, name)
                if default is UNDECLARED and is_link(written):
                    # ComfyUI ignores an undeclared constant, but passes an undeclared link to the node.
                    value = written
                elif default is UNDECLARED or value == default:
                    continue
            parts += [name, self._of_input(node, name, value)]
        return hash_parts(cls, self._fingerprint(node), *parts)

    def _of_input(self, node: Node, name: str, value: Any) -> str:
        if self._as_written or is_link(value) or name not in _LINKED or self._is_typed_cfg(node, name):
            return self._of_value(value)
        primitive = {"class_type": _LINKED[name], "inputs": {"value": value}}
        return hash_parts("output", "0", self._of_node(primitive))

    def _is_typed_cfg(self, node: Node, name: str) -> bool:
        # The one exception among the recipes: that of Z-Image Turbo has its cfg typed and no negative prompt.
        negative = node["inputs"].get("negative")
        if name != "cfg" or not is_link(negative):
            return False
        return self._get_node(negative[0])["class_type"] == "ConditioningZeroOut"

    def _of_value(self, value: Any) -> str:
        if not is_link(value):
            # JavaScript has one kind of number, so a browser sends 1 for 1.0.
            whole = isinstance(value, float) and value.is_integer()
            return hash_parts("constant", json.dumps(int(value) if whole else value, sort_keys=True))
        return hash_parts("output", str(value[1]), self.of(value[0]))


def _checked_only(node: Node) -> list[Any] | None:
    """The link to the clip of a Check Clip that has no retakes to choose from; None for any other node."""
    inputs = node["inputs"]
    if node["class_type"] != Kind.CHECK.node or any(is_link(inputs.get(name)) for name in RETAKES):
        return None
    return inputs["clip"] if is_link(inputs.get("clip")) else None


def class_of(node: Node) -> str:
    """The class that a node counts as: its own, or the stock one that it stands in for."""
    cls: str = node["class_type"]
    return STAND_INS.get(cls, cls)


def constant(get_node: Callable[[str], Node], value: Any, depth: int = MAX_SCENE_PROMPTS) -> Any:
    """The constant behind a link to a primitive node or a Scene Prompt; any other value is returned
    unchanged. Of Scene Prompts that are made from each other, `depth` are followed."""
    passed: set[str] = set()
    end = value
    while is_link(end):
        node = get_node(end[0])
        if (text := _scene_prompt(get_node, node, depth)) is not None:
            return text
        if end[0] in passed or node["class_type"] not in PRIMITIVES or "value" not in node["inputs"]:
            return value
        passed.add(end[0])
        end = node["inputs"]["value"]
    return end


def _scene_prompt(get_node: Callable[[str], Node], node: Node, depth: int = MAX_SCENE_PROMPTS) -> str | None:
    """The text of a Scene Prompt; None for another node, and where a part of the text is not a constant."""
    if node["class_type"] != SCENE_PROMPT or not depth:
        return None
    prompt, style, weights = (
        constant(get_node, node["inputs"].get(name), depth - 1) for name in ("prompt", "style", "weights")
    )
    if not isinstance(prompt, str) or is_link(style):
        return None
    return joined(prompt, style, bool(weights))


def hash_parts(*parts: str | bytes) -> str:
    """The key of something made from these parts, in this order: 24 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:24]
