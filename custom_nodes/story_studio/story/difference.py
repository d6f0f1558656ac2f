"""What differs between the graph that a result was made from and the graph that is asked for it now.

Node ids may differ, and a constant counts the same whether it is typed or linked from a primitive node, as in
keys. Pure functions over plain data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from .changes import before_and_after
from .classes import LOAD_AUDIO, LOAD_IMAGE, LOAD_VIDEO, LOADERS, SEEDS, WRITTEN
from .keys import NAMED, ORDER, PASSING, UNDECLARED, Node, class_of, constant
from .links import Nodes, is_link, reader, title_of
from .results import KEEPERS, Kind

What = Literal[
    "prompt",
    "negative prompt",
    "seed",
    "voice",
    "image",
    "video",
    "still",
    "clip",
    "take",
    "node",
    "setting",
    "scenes",
    "new scenes",
    "gone scenes",
    "order",
    "more",
]
_FILES: dict[str, What] = {LOAD_AUDIO: "voice", LOAD_IMAGE: "image", LOAD_VIDEO: "video"}
"""What the files of loaders are to a scene."""
_MAX_PAIRS = 20_000
"""How many nodes are compared: a file's graph comes from outside."""


class Change(NamedTuple):
    """One thing that differs.

    Attributes:
        what: what it is; a `setting` and a `node` have a name; `more` is what graphs were too large for.
        name: of the input or of the class; of scenes of a film, how many they are.
        before, after: its values as short texts; empty where they would say nothing.
    """

    what: What
    name: str = ""
    before: str = ""
    after: str = ""


def differences(
    before: Nodes,
    after: Nodes,
    ends: tuple[str, str],
    default_of: Callable[[str, str], Any],
) -> list[Change]:
    """What differs between two graphs, each change once; empty if none is found, as where only a file's
    content changed.

    Args:
        before, after: API workflows.
        ends: the node in each whose result is compared.
        default_of: as in `Keys`.
    """
    return list(dict.fromkeys(_Comparison(before, after, default_of).of(*ends)))


def end_of(nodes: Nodes, cls: str) -> str | None:
    """The node of a class that nothing else is made from: in a file's own graph the one that kept it."""
    used = {value[0] for node in nodes.values() for value in node["inputs"].values() if is_link(value)}
    ends = [node_id for node_id, node in nodes.items() if node["class_type"] == cls]
    return next((node_id for node_id in ends if node_id not in used), ends[-1] if ends else None)


class _Comparison:
    """Two graphs that are walked together, from the same result to what it is made from."""

    def __init__(self, before: Nodes, after: Nodes, default_of: Callable[[str, str], Any]):
        self._before, self._after, self._default_of = before, after, default_of
        self._pairs = 0

    def of(self, before: str, after: str, makes: bool = True) -> Iterator[Change]:
        """What differs; `makes`: the result is made, so that no take is used in its place."""
        waiting = [(before, after, False)]
        seen: set[tuple[str, str]] = set()
        while waiting and self._pairs < _MAX_PAIRS:
            old_id, new_id, negative = waiting.pop(0)
            if (old_id, new_id) in seen:
                continue
            seen.add((old_id, new_id))
            self._pairs += 1
            old, new = self._before.get(old_id), self._after.get(new_id)
            if old is None or new is None:
                continue
            if class_of(old) != class_of(new):
                yield Change("node", "", *(title_of(node) or node["class_type"] for node in (old, new)))
                continue
            kept = _part(new) if (old_id, new_id) != (before, after) else None
            if kept:
                # What a still is made from is said of the still.
                if next(self.of(old_id, new_id, makes=False), None):
                    yield Change(kept)
                continue
            for name in dict.fromkeys([*new["inputs"], *old["inputs"]]):
                if _is_replaced(new, name, makes):
                    continue
                pair = (old["inputs"].get(name), new["inputs"].get(name))
                links, change = self._input(new, name, *pair, negative)
                if change:
                    yield change
                if links:
                    waiting.append((*links, negative or name == "negative"))
        if waiting:
            yield Change("more")

    def _input(
        self, node: Node, name: str, old: Any, new: Any, negative: bool
    ) -> tuple[tuple[str, str] | None, Change | None]:
        """The nodes that an input is linked to in both graphs, or how it changed."""
        cls = node["class_type"]
        default = self._default_of(cls, name)
        before, after = self._value(self._before, old, default), self._value(self._after, new, default)
        if name == ORDER or default is UNDECLARED or (name == "name" and cls in (*KEEPERS, *NAMED)):
            return None, None
        if is_link(before) and is_link(after):
            return (before[0], after[0]), None
        if is_link(before) or is_link(after):
            return None, _change(cls, name, None, None, negative)
        return None, None if before == after else _change(cls, name, before, after, negative)

    @staticmethod
    def _value(nodes: Nodes, value: Any, default: Any) -> Any:
        found = constant(reader(nodes), value)
        return default if found is None else found


def _is_replaced(node: Node, name: str, makes: bool) -> bool:
    """Whether an input has no effect: that of a chosen take where it is made, or the other way round."""
    passed = PASSING.get(node["class_type"])
    return passed is not None and (
        name == "take" if makes else name == passed and bool(node["inputs"].get("take"))
    )


def _part(node: Node) -> What | None:
    kind = KEEPERS.get(node["class_type"])
    return "still" if kind is Kind.STILL else "clip" if kind in (Kind.CLIP, Kind.MASTER) else None


def _change(cls: str, name: str, before: Any, after: Any, negative: bool) -> Change:
    texts = before_and_after(before, after) if before is not None and after is not None else ("", "")
    if cls in LOADERS and LOADERS[cls] == name:
        return Change(_FILES[cls], "", *texts)
    if name == "take":
        return Change("take")
    if name in SEEDS:
        return Change("seed", "", *texts)
    if name in WRITTEN:
        return Change("negative prompt" if negative else "prompt", "", *texts)
    return Change("setting", name, *texts)
