"""Keys of finished stills and clips: a hash of the graph that they are made from.

Node ids, names, order (`after`) and what a node's class does not take are not in a key, so a changed prompt
has a new one, and another server or machine finds what is there. What is made from a still or clip has that
one's key in its own: an earlier take, chosen again, leads to what was made from it then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from .recipes import is_link
from .results import Kind

PASSING = {Kind.STILL.node: "image", Kind.CLIP.node: "video"}
"""The nodes that keep what goes through them, and the input that it comes by."""
ORDER = "after"
"""The input that only says what a node waits for."""
Node = dict[str, Any]


class Keys:
    """The keys of one graph's nodes.

    Args:
        get_node: a node of an API workflow by its id.
        taken_inputs: the inputs of a node that have a say in what it gives.
        fingerprint: what is known of the files that a node reads.
    """

    def __init__(
        self,
        get_node: Callable[[str], Node],
        taken_inputs: Callable[[Node], dict[str, Any]],
        fingerprint: Callable[[Node], str],
    ):
        self._get_node, self._taken_inputs, self._fingerprint = get_node, taken_inputs, fingerprint
        self._known: dict[str, str] = {}

    def of(self, node_id: str) -> str:
        """24 hexadecimal digits for what a node gives; of a Still or Clip, for what it is made from, or the
        take that it is told to be."""
        if node_id not in self._known:
            node = self._get_node(node_id)
            if passed := PASSING.get(node["class_type"]):
                given = node["inputs"]
                self._known[node_id] = given.get("take") or self._of_value(given.get(passed))
            else:
                inputs = sorted(self._taken_inputs(node).items())
                parts = [part for name, value in inputs for part in (name, self._of_value(value))]
                self._known[node_id] = hash_parts(node["class_type"], self._fingerprint(node), *parts)
        return self._known[node_id]

    def _of_value(self, value: Any) -> str:
        if not is_link(value):
            # JavaScript has one kind of number, so a browser sends 1 for 1.0.
            whole = isinstance(value, float) and value.is_integer()
            return hash_parts("constant", json.dumps(int(value) if whole else value, sort_keys=True))
        return hash_parts("output", str(value[1]), self.of(value[0]))


def hash_parts(*parts: str | bytes) -> str:
    """The key of something made from these parts, in this order: 24 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:24]
