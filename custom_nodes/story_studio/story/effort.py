"""How much work a result is, so that times that were measured say how long the next one takes.

Only results of the same settings are compared: the same nodes, models, size and steps, whatever the prompts,
seeds and files. Pure functions over plain data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from statistics import median
from typing import Any, NamedTuple

from .classes import LOADERS, SEEDS, WRITTEN
from .clip_graph import SILENCE, TRIM
from .keys import ORDER, PRIMITIVES, UNDECLARED, Node, class_of, constant, hash_parts
from .links import reader
from .numbers import finite
from .order import IN_ORDER
from .recipes import Nodes, is_link
from .results import KEEPERS
from .scenes import Workflow

_FREE = frozenset((*WRITTEN, *SEEDS, "heading", "title", "name", "take", "translations", "language"))
"""Inputs that do not change how long a result takes, or that its amount of work counts."""
_FILES = frozenset((*LOADERS, SILENCE, TRIM))
"""The nodes that a result's files and their length are from."""


class Took(NamedTuple):
    """How long a result took.

    Attributes:
        settings: see `settings_of`.
        work: how much of it there was, such as seconds of a clip or scenes of a film.
        seconds: that it took.
        is_first: whether it was the first of its kind in its run, which may have read models before.
    """

    settings: str
    work: float
    seconds: float
    is_first: bool


class Estimate(NamedTuple):
    """How long results will take.

    Attributes:
        each: seconds of each result; None where nothing of its settings was measured.
        first: seconds that the first one takes more, to read models.
        measured: how many results this is estimated from.
    """

    each: list[float | None]
    first: float
    measured: int


def settings_of(nodes: Nodes, end: str, default_of: Callable[[str, str], Any]) -> str:
    """24 hexadecimal digits for what decides how long a unit of a result's work takes.

    `default_of` is as in `Keys`.
    """
    found: set[str] = set()
    for node in _made_from(nodes, end):
        cls = class_of(node)
        if cls in PRIMITIVES or cls in _FILES or cls == IN_ORDER:
            continue
        values = {
            name: _whole(value)
            for name, written in node["inputs"].items()
            if name not in _FREE and name != ORDER
            if not is_link(value := constant(reader(nodes), written))
            if value != (default := default_of(node["class_type"], name)) and default is not UNDECLARED
        }
        found.add(json.dumps([cls, values], sort_keys=True, default=str))
    return hash_parts(*sorted(found))


def _whole(value: Any) -> Any:
    """The value; JavaScript has one kind of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def sound_behind(nodes: Nodes, end: str, seconds_of: Callable[[Node], float | None]) -> float | None:
    """The length of the recording that a clip is made from; None where it is not known.

    Args:
        nodes: an API workflow.
        end: the node that keeps the clip.
        seconds_of: the length of the sound that a node loads or makes; None for other nodes.
    """
    above = list(_made_from(nodes, end))
    lengths = [length for node in above if (length := seconds_of(node)) is not None]
    parts = [
        length
        for node in above
        if node["class_type"] == TRIM and (length := finite(node["inputs"].get("duration"))) is not None
    ]
    return min([sum(lengths), *parts]) if lengths else None


def count_above(nodes: Nodes, end: str, cls: str) -> int:
    """How many nodes of a class a result is made from."""
    return sum(node["class_type"] == cls for node in _made_from(nodes, end))


def estimate(wanted: Iterable[tuple[str, float | None]], taken: Iterable[Took]) -> Estimate:
    """How long results of one kind will take, after those that were made: the settings and work of each."""
    known: dict[str, list[Took]] = {}
    for one in taken:
        known.setdefault(one.settings, []).append(one)
    each: list[float | None] = []
    used: dict[str, list[Took]] = {}
    for settings, work in wanted:
        # A first one, which may have read models, is better than nothing.
        of_these = known.get(settings, [])
        paced = [one for one in of_these if not one.is_first] or of_these
        if not paced or work is None:
            each.append(None)
            continue
        used[settings] = of_these
        each.append(work * median(one.seconds / one.work for one in paced))
    return Estimate(
        each, max(map(_first_takes_more, used.values()), default=0.0), sum(map(len, used.values()))
    )


def _first_takes_more(taken: list[Took]) -> float:
    later = [one.seconds / one.work for one in taken if not one.is_first]
    first = [one for one in taken if one.is_first]
    if not later or not first:
        return 0.0
    return max(0.0, median(one.seconds - one.work * median(later) for one in first))


def _made_from(nodes: Nodes, end: str) -> Iterator[Node]:
    """The nodes upstream of a result, up to other results."""
    found = Workflow(nodes).upstream(end, through=lambda node: node["class_type"] not in KEEPERS)
    return (node for _, node in found)
