"""What is wrong with a recipe: all of it together, a sentence each, with the node and what to do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from .links import Link, Nodes, linked, title_of, upstream
from .recipe_kinds import FRAMES, KINDS, RecipeKind, kind_of

_EXPORT = "export it from ComfyUI with Workflow > Export (API)."
_PLACED = frozenset({"image", "audio", "audio_2", "mask", "mask_2", "after", "frames", "model"})
"""Parameters in whose place another node comes, which need no input for a value."""
_COUNTED = {"length": (5, "the most frames that it makes at a time"), "fps": (1, "its frames a second")}
"""The least values of a clip recipe's numbers that a story divides clips by, and what they are."""


@dataclass
class Findings:
    """What was found in the text of a recipe.

    Attributes:
        faults: why it cannot be used.
        hints: what works, but may not be meant so.
        nodes, parameters, result: as in `Recipe`; complete if there are no faults.
    """

    faults: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    nodes: Nodes = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    result: Link | None = None


def inspect_recipe(text: str, kind: str) -> Findings:
    """Everything that is wrong with the text of a recipe of this kind, a key of `KINDS`."""
    found = Findings()
    found.nodes = _read_nodes(text, found.faults)
    if not found.nodes and found.faults:
        return found
    about = KINDS[kind]
    found.faults += _broken_links(found.nodes)
    is_broken = bool(found.faults)
    end = _find_end(found, about)
    found.faults += _twice(found.nodes, end)
    used = upstream(found.nodes, end) if end and not is_broken else set(found.nodes)
    titled = {
        title_of(found.nodes[node_id])[1:]: node_id
        # Of two nodes of one title the one with an effect counts.
        for node_id in sorted(found.nodes, key=used.__contains__)
        if title_of(found.nodes[node_id]).startswith("$") and node_id != end
    }
    found.parameters = {name: node_id for name, node_id in titled.items() if node_id in used}
    _check_parameters(found, about, titled)
    return found


def named(node_id: str, node: Mapping[str, Any]) -> str:
    """A node in a sentence: its id, and its title or else its class."""
    return f"node {node_id} ({title_of(node) or node['class_type']})"


def _read_nodes(text: str, faults: list[str]) -> Nodes:
    """The nodes of an API workflow; a broken one without links, so that nothing else is said of it."""
    try:
        data = json.loads(text)
    except ValueError as error:
        place = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        faults.append(f"cannot be read as a workflow, it is not JSON{place}: {_EXPORT}")
        return {}
    except RecursionError:
        faults.append(f"cannot be read as a workflow, it is nested too deeply: {_EXPORT}")
        return {}
    if isinstance(data, dict) and isinstance(data.get("nodes"), list):
        faults.append(
            "is a workflow as the canvas saves it, not an API workflow: open it in ComfyUI and " + _EXPORT
        )
        return {}
    request = data.get("prompt") if isinstance(data, dict) else None
    if isinstance(request, dict) and "class_type" not in request:
        faults.append("is a request to /prompt: keep only what `prompt` holds.")
        return {}
    if not isinstance(data, dict) or (data and not any(isinstance(node, dict) for node in data.values())):
        faults.append(f"is not an API workflow: {_EXPORT}")
        return {}
    nodes: Nodes = {}
    for node_id, node in data.items():
        if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
            title = f" ({title_of(node)})" if isinstance(node, dict) and title_of(node) else ""
            faults.append(
                f"node {node_id}{title} has no class_type, so this is not an API workflow: {_EXPORT}"
            )
        elif not isinstance(node.get("inputs"), dict):
            faults.append(f"{named(node_id, node)} has no inputs, so this is not an API workflow: {_EXPORT}")
        else:
            nodes[node_id] = node
            continue
        meta = node.get("_meta") if isinstance(node, dict) else None
        nodes[node_id] = {"class_type": "", "inputs": {"value": None}, "_meta": meta}
    return nodes


def _broken_links(nodes: Nodes) -> Iterator[str]:
    for node_id, node in nodes.items():
        for name, link in linked(node).items():
            if link.node not in nodes:
                yield (
                    f"input {name} of {named(node_id, node)} is linked to node {link.node}, which does not "
                    "exist: export the workflow again."
                )
    if loop := _find_loop(nodes):
        through = " -> ".join([*loop, loop[0]])
        yield f"has links that form a loop, {through}: remove one of them."


def _find_loop(nodes: Nodes) -> list[str]:
    """The ids of nodes that link in a circle, in the order of their links; empty if none do."""
    done: set[str] = set()
    for start in nodes:
        path: dict[str, Iterator[Link]] = {}
        waiting: list[str] = [start]
        while waiting:
            node = waiting[-1]
            sources = path.setdefault(node, iter(linked(nodes[node]).values()))
            source = next(
                (link.node for link in sources if link.node in nodes and link.node not in done), None
            )
            if source is None:
                done.add(node)
                del path[waiting.pop()]
            elif source in path:
                return waiting[waiting.index(source) :][::-1]
            else:
                waiting.append(source)
    return []


def _find_end(found: Findings, about: RecipeKind) -> str | None:
    """The node at the end, with its result in `found`; what is wrong with it is added to the faults."""
    title = f"${about.end}"
    titled = {node_id: node for node_id, node in found.nodes.items() if title_of(node) == title}
    ends = {node_id: node for node_id, node in titled.items() if linked(node)}
    # In these kinds a parameter has the same title, so what has no link is that.
    if about.end not in about.parameters and about is not KINDS["voice"]:
        ends = ends or titled
    wanted = f"needs one node titled {title} with one linked input, the rendered {about.end}"
    if not ends:
        other = kind_of(found.nodes)
        if other and KINDS[other].end != about.end:
            setting = KINDS[other].setting
            found.faults.append(f"{wanted}: this is a {other} recipe, name it in {setting}.")
        else:
            found.faults.append(f"{wanted}: title the node that saves it {title}.")
        return None
    end, node = next(iter(ends.items()))
    links = linked(node)
    if len(links) == 1:
        found.result = next(iter(links.values()))
    elif links:
        found.faults.append(f"{wanted}: {named(end, node)} has {len(links)}, {_listed(links)}; leave one.")
    else:
        found.faults.append(f"{wanted}: {named(end, node)} has none, so link the {about.end} to it.")
    return end


def _twice(nodes: Nodes, end: str | None) -> Iterator[str]:
    """Titles that two nodes have; a parameter may have the title of the end."""
    titles = {
        node_id: title_of(node)
        for node_id, node in nodes.items()
        if title_of(node).startswith("$") and node_id != end
    }
    # Where an end and a parameter have one title, another node with a link would be a second end.
    end_title = title_of(nodes[end]) if end else ""
    ends = {node_id for node_id, title in titles.items() if title == end_title and linked(nodes[node_id])}
    for title, count in Counter(titles.values()).items():
        ids = [node_id for node_id, other in titles.items() if other == title]
        if count > 1 and not (title == end_title and ends):
            yield f"has two nodes titled {title}, {_listed(ids)}: keep one of them."
    if end and ends:
        yield f"has two nodes titled {end_title}, {_listed([end, *sorted(ends)])}: keep one of them."


def _check_parameters(found: Findings, about: RecipeKind, titled: Mapping[str, str]) -> None:
    """Adds what is wrong with the parameters; `titled` are all nodes with the title of one."""
    if about is KINDS[FRAMES] and FRAMES not in found.parameters:
        found.faults.append(
            "needs a second node titled $frames, without links and upstream of the first: the loader whose "
            "place the frames of the clip take."
        )
    misspelt = dict(_misspelt(titled, about))
    for name, known in misspelt.items():
        node = named(titled[name], found.nodes[titled[name]])
        found.faults.append(f"{node} is no parameter of a {about.end} recipe: did you mean ${known}?")
    for group in about.required:
        # One that leads nowhere is a hint: earlier versions rendered such recipes.
        if not set(group) & {*titled, *misspelt.values()}:
            found.faults.append(_missing(about, group))
    for name, node_id in found.parameters.items():
        node = found.nodes[node_id]
        if not node["inputs"] and name in about.parameters and name not in _PLACED:
            found.faults.append(
                f"{named(node_id, node)} has no input that takes the value: title a node with one, such as "
                f"a primitive, ${name}."
            )
    found.faults += _wrong_numbers(found, about)
    found.hints += _hints(found, about, titled, misspelt)


def _wrong_numbers(found: Findings, about: RecipeKind) -> Iterator[str]:
    """The values of a clip recipe by which clips are divided, and which no clip can have."""
    for name, (least, what) in (_COUNTED if about.end == "clip" else {}).items():
        node_id = found.parameters.get(name, "")
        value = next(iter(found.nodes[node_id]["inputs"].values()), None) if node_id else None
        if value is None or isinstance(value, list):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
            where = named(node_id, found.nodes[node_id])
            yield f"{where} is {value!r}, and must be {what}, a number of at least {least}."


def _misspelt(titled: Iterable[str], about: RecipeKind) -> Iterator[tuple[str, str]]:
    """Names that are no parameter but nearly one that the recipe lacks, each with that one."""
    free = [name for name in about.parameters if name not in titled]
    for name in titled:
        if name not in about.parameters and (
            close := get_close_matches(name.lower(), free, n=1, cutoff=0.75)
        ):
            yield name, close[0]


def _missing(about: RecipeKind, group: tuple[str, ...]) -> str:
    names = _listed([f"${name}" for name in group], "or")
    otherwise = f", or {about.otherwise}" if about.otherwise else ""
    return f"has no parameter {names}, and {about.why}: title the node that holds it so{otherwise}."


def _hints(
    found: Findings, about: RecipeKind, titled: Mapping[str, str], misspelt: Mapping[str, str]
) -> Iterator[str]:
    for name, node_id in titled.items():
        node = named(node_id, found.nodes[node_id])
        if name in misspelt:
            continue
        if name not in about.parameters:
            yield f"{node} is no parameter that stories set: it keeps its value."
        elif name not in found.parameters:
            yield f"{node} is not upstream of ${about.end}, so it has no effect: link it."
    for name, what in about.recommended.items():
        if name not in titled and name not in misspelt.values():
            yield f"has no parameter ${name}: {what} has no effect."


def _listed(names: Iterable[str], word: str = "and") -> str:
    *rest, last = names
    return f"{', '.join(rest)} {word} {last}" if rest else last
