"""How much work a result is, so that times that were measured say how long the next one takes.

Only results of the same settings are compared: the same nodes, models, size and steps, whatever the prompts,
seeds and files. Pure functions over plain data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any, NamedTuple

from .keys import ORDER, PRIMITIVES, Node, class_of, constant, hash_parts
from .order import IN_ORDER
from .recipes import Nodes, is_link
from .results import KEEPERS, Kind

_FREE = frozenset(
    "text prompt heading title name seed noise_seed take duration start_index translations language".split()
)
"""Inputs that do not change how long a result takes, or that its amount of work counts."""
_LOADERS = frozenset(("LoadAudio", "LoadImage", "LoadVideo"))


class Took(NamedTuple):
    """How long a result took.

    Attributes:
        settings: see `settings_of`.
        work: how much of it there was: seconds of a clip, scenes of a film; 1 for a still.
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


def settings_of(nodes: Nodes, end: str) -> str:
    """24 hexadecimal digits for what decides how long a unit of a result's work takes."""
    found: set[str] = set()
    for node in _made_from(nodes, end):
        cls = class_of(node)
        if cls in PRIMITIVES or cls == IN_ORDER:
            continue
        values = {
            name: value
            for name, written in node["inputs"].items()
            if name not in _FREE and name != ORDER and cls not in _LOADERS
            if not is_link(value := constant(_reader(nodes), written))
        }
        found.add(json.dumps([cls, values], sort_keys=True, default=str))
    return hash_parts(*sorted(found))


def work_of(nodes: Nodes, end: str, seconds_of: Callable[[Node], float | None]) -> float | None:
    """How much work a result is; None where the length of its recording is not known.

    Args:
        nodes: an API workflow.
        end: the node that keeps the result.
        seconds_of: the length of the sound that a node loads or makes; None for other nodes.
    """
    kind = KEEPERS.get(nodes[end]["class_type"])
    if kind is Kind.STILL:
        return 1.0
    if kind is Kind.FILM:
        return float(sum(node["class_type"] == "StoryStudio_FilmScene" for node in _made_from(nodes, end)))
    lengths = [length for node in _made_from(nodes, end) if (length := seconds_of(node)) is not None]
    return sum(lengths) or None


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
    return Estimate(each, max(map(_first_takes_more, used.values()), default=0.0), sum(map(len, used.values())))


def _first_takes_more(taken: list[Took]) -> float:
    later = [one.seconds / one.work for one in taken if not one.is_first]
    first = [one for one in taken if one.is_first]
    if not later or not first:
        return 0.0
    return max(0.0, median(one.seconds - one.work * median(later) for one in first))


def _made_from(nodes: Nodes, end: str) -> Iterable[Node]:
    """The nodes upstream of a result, up to other results."""
    waiting, seen = [end], {end}
    for node_id in waiting:
        node = nodes.get(node_id)
        if node is None:
            continue
        yield node
        if node_id != end and node["class_type"] in KEEPERS:
            continue
        for name, value in node["inputs"].items():
            if name != ORDER and is_link(value) and value[0] not in seen:
                seen.add(value[0])
                waiting.append(value[0])


def _reader(nodes: Nodes) -> Callable[[str], Node]:
    nothing: dict[str, Any] = {"class_type": "", "inputs": {}}
    return lambda node_id: nodes.get(node_id) or nothing
