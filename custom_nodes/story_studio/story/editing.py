"""Where the scenes of a workflow are changed: their places in its chains, and the inputs with their words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .classes import CHAINS, LOAD_AUDIO, OURS, TITLE_CARD, WRITTEN
from .keys import Node
from .recipes import Nodes
from .results import Kind
from .scene_prompt import NODE as SCENE_PROMPT
from .scenes import Workflow, is_not_still, panel_of, source_of

_PROMPTED = (TITLE_CARD, SCENE_PROMPT)
"""The pack's own nodes that prompts are typed in; what is typed in the others is no prompt."""


def editable_panel_of(nodes: Nodes) -> dict[str, Any]:
    """What `panel_of` gives, with the scenes of the film first, and what the panel needs to edit them.

    Returns:
        Each scene has also `joins`: the ids of its nodes in the chains `film` and `storyboard`, or None;
        `in_film`: whether it is in a film, if there is one; `circle`: whether one of its chains leads back
        to itself; `voice`: the id of the Load Audio of its clip, or None; `fields`: the input that holds its
        `title`, `prompt`, `text` and `movement`, each an `id` and an `input`, and in `also` further inputs
        that repeat it; None if it has none that can be typed.

    Raises:
        Problems: the workflow is too large.
    """
    workflow = Workflow(nodes)
    panel, places = panel_of(workflow), _Places(workflow)
    scenes = [{**scene, **places.of(scene["still"], scene["clip"])} for scene in panel["scenes"]]
    order = sorted(range(len(scenes)), key=lambda number: not scenes[number]["in_film"])
    new = {number: place for place, number in enumerate(order)}
    owners = {node: (new[number], part) for node, (number, part) in panel["owners"].items()}
    return {**panel, "scenes": [scenes[number] for number in order], "owners": owners}


def circles_in(workflow: Workflow) -> set[str]:
    """The nodes of chains that lead back to themselves."""
    return {node for cls, name in CHAINS.items() for node in _circle_of(workflow, cls, name)}


def _circle_of(workflow: Workflow, cls: str, name: str) -> set[str]:
    before = {
        node: source
        for node in workflow.of_class(cls)
        if (source := _link_of(workflow, node, name)) is not None
    }
    # What leads nowhere is in no circle, nor what leads there.
    ends = set(workflow.of_class(cls))
    checked: set[str] = set()
    found: set[str] = set()
    for start in ends:
        path: dict[str, None] = {}
        node: str | None = start
        while node is not None and node not in checked and node not in path:
            path[node] = None
            node = before.get(node)
        if node in path:
            steps = list(path)
            found.update(steps[steps.index(node) :])
        checked.update(path)
    return found


def _link_of(workflow: Workflow, node: str, name: str) -> str | None:
    return source_of(workflow.nodes[node]["inputs"].get(name))


@dataclass
class _Joins:
    """The nodes of a chain, by the result that each adds; `led`: those that the chain's end reads."""

    by_result: dict[str, str]
    led: set[str]


class _Places:
    """The places of scenes in a workflow, each looked up once."""

    def __init__(self, workflow: Workflow):
        self.workflow = workflow
        self.films = workflow.of_class(Kind.FILM.node)
        self.circles = circles_in(workflow)
        ends = {"film": self.films, "storyboard": workflow.of_class(Kind.SHEET.node)}
        results = {"film": ("clip", Kind.CLIP.node), "storyboard": ("still", Kind.STILL.node)}
        self.joins = {
            name: self._joins(name, cls, ends[name], *results[name]) for cls, name in CHAINS.items()
        }

    def _joins(self, name: str, cls: str, ends: list[str], entry: str, kind: str) -> _Joins:
        led: dict[str, None] = {}
        for end in ends:
            node = _link_of(self.workflow, end, name)
            while node is not None and node in self.workflow.nodes and node not in led:
                led[node] = None
                node = _link_of(self.workflow, node, name)
        by_result: dict[str, str] = {}
        # A clip may be in a chain that leads nowhere as well.
        for join in sorted(self.workflow.of_class(cls), key=lambda node: node not in led):
            result = self.workflow.nearest(self.workflow.nodes[join]["inputs"].get(entry), kind)
            if result is not None:
                by_result.setdefault(result, join)
        return _Joins(by_result, set(led))

    def of(self, still: str | None, clip: str | None) -> dict[str, Any]:
        film = self.joins["film"].by_result.get(clip or "")
        storyboard = self.joins["storyboard"].by_result.get(still or "")
        return {
            "joins": {"film": film, "storyboard": storyboard},
            "in_film": not self.films or film in self.joins["film"].led,
            "circle": film in self.circles or storyboard in self.circles,
            "voice": self.workflow.find(clip, _is_load_audio, through=is_not_still),
            "fields": self._fields(still, clip, film, storyboard),
        }

    def _fields(
        self, still: str | None, clip: str | None, film: str | None, storyboard: str | None
    ) -> dict[str, Any]:
        titles = [(film, "title"), (storyboard, "name")]
        prompts = [(self._words(still), None), (storyboard, "prompt")]
        return {
            "title": self._field(titles if film or storyboard else [(clip or still, "name")]),
            "prompt": self._field(prompts),
            "text": self._field([(film, "text")]),
            "movement": self._field([(self._words(clip), None)]),
        }

    def _words(self, end: str | None) -> str | None:
        """The nearest node above a still or clip in which words are typed: its prompt."""
        return self.workflow.find(end, self._input_of_words, skip=("negative", "audio"), through=is_not_still)

    def _input_of_words(self, node: Node) -> str | None:
        if node["class_type"].startswith(OURS) and node["class_type"] not in _PROMPTED:
            return None
        names = (name for name in WRITTEN if self._is_typed(node["inputs"].get(name)))
        return next(names, None)

    def _is_typed(self, value: Any) -> bool:
        return isinstance(self.workflow.constant(value), str)

    def _field(self, candidates: Sequence[tuple[str | None, str | None]]) -> dict[str, Any] | None:
        inputs = []
        for node_id, name in candidates:
            if node_id is None:
                continue
            node = self.workflow.nodes[node_id]
            entry = name or self._input_of_words(node) or ""
            if self._is_typed(node["inputs"].get(entry)):
                inputs.append({"id": node_id, "input": entry})
        return {**inputs[0], "also": inputs[1:]} if inputs else None


def _is_load_audio(node: Node) -> bool:
    return node["class_type"] == LOAD_AUDIO
