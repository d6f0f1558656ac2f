"""A prompt without the scenes that failed: what a canvas renders where the driver would leave scenes out.

Pure functions over plain data.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from .classes import FILM_SCENE
from .keys import ORDER, RETAKES
from .links import linked
from .order import CHAINED, IN_ORDER, LAST, RESULTS, topological
from .recipes import Nodes, is_link
from .results import Kind

_NEED_A_SCENE = frozenset((Kind.FILM.node, Kind.SHEET.node))
"""The nodes that need one scene at least."""

_CARRY_SCENES = frozenset((IN_ORDER, FILM_SCENE))
"""What a film is linked to: a scene of it, or several that are joined."""


class Remaining(NamedTuple):
    """What is left of a prompt.

    Attributes:
        nodes: the API workflow, in which no node that is wanted is linked to one that is lost.
        outputs: the output nodes that can still be made, and the results that others of them would have used.
        lost: the nodes that cannot, those that failed included.
    """

    nodes: Nodes
    outputs: list[str]
    lost: set[str]


def leave_out(
    nodes: Nodes, outputs: Sequence[str], failed: Collection[str], finished: Collection[str] = ()
) -> Remaining:
    """The prompt without what is made from nodes that failed.

    As the driver does: no film without all of its scenes, but their clips; a contact sheet has the stills
    that are left; a clip whose check or retake failed is used as it is.

    Args:
        nodes: an API workflow; it is not changed.
        outputs: the output nodes that are to run.
        failed: the nodes that failed.
        finished: results that exist, so that nothing upstream of them runs.
    """
    leaving = _Leaving(nodes, failed, finished)
    for node in topological(nodes, outputs):
        leaving.visit(node)
    used = topological(nodes, [node for node in outputs if node in leaving.lost])
    wanted = dict.fromkeys([*outputs, *(node for node in used if nodes[node]["class_type"] in RESULTS)])
    kept = [node for node in wanted if node not in leaving.lost]
    return Remaining(leaving.nodes, kept, leaving.lost)


class _Leaving:
    """A copy of a prompt from which scenes are being left out, in the order of its links.

    Attributes:
        nodes: the copy.
        lost: the nodes that cannot be made.
    """

    def __init__(self, nodes: Nodes, failed: Collection[str], finished: Collection[str]):
        self.nodes: Nodes = dict(nodes)
        self.lost: set[str] = set()
        self._failed, self._finished = failed, finished
        self._instead: dict[str, Any] = {}
        """The link that replaces links to a lost node; None if nothing does."""
        self._shortened: set[str] = set()
        """What a film is joined from, if it lacks a scene."""
        self._lacking: set[str] = set()
        """The In Order nodes that have lost the input which they pass on as their last."""

    def visit(self, node: str) -> None:
        cls, inputs = self.nodes[node]["class_type"], dict(self.nodes[node]["inputs"])
        self.nodes[node] = {**self.nodes[node], "inputs": inputs}
        optional = {ORDER, *(inputs if cls == IN_ORDER else ())}
        chain, _ = CHAINED.get(cls, ("", 0))
        if chain:
            optional.add(chain)
        if cls == Kind.CHECK.node:
            self._drop_lost_retakes(inputs)
        links = [*linked(self.nodes[node]).values()]
        if any(self._lacks_scene(link.node) for link in links):
            self._shortened.add(node)
        for name, link in list(inputs.items()):
            if not is_link(link) or link[0] not in self.lost:
                continue
            if (other := self._instead.get(link[0])) is not None:
                inputs[name] = list(other)
            elif name in optional:
                del inputs[name]
        if node in self._finished and node not in self._failed:
            return
        if cls == IN_ORDER and links and links[-1].node in self.lost:
            self._lacking.add(node)
        is_empty = cls == IN_ORDER and links and not linked(self.nodes[node])
        is_incomplete = cls == Kind.FILM.node and node in self._shortened
        is_empty = is_empty or self._has_only_a_sheet(cls, inputs)
        if node in self._failed or is_empty or is_incomplete or self._lacks(node):
            self.lost.add(node)
            self._instead[node] = inputs.get(chain) if chain else self._unchecked(cls, inputs)

    def _lacks_scene(self, node: str) -> bool:
        """Whether a part of a film is lost, or lacks a scene."""
        cls = self.nodes[node]["class_type"] if node in self.nodes else ""
        return cls in _CARRY_SCENES and (node in self._shortened or (node in self.lost and cls != IN_ORDER))

    def _lacks(self, node: str) -> bool:
        """Whether an input of a node is linked to what cannot be made."""
        return any(
            link.node in self.lost or (link.node in self._lacking and link.output == LAST)
            for link in linked(self.nodes[node]).values()
        )

    def _drop_lost_retakes(self, inputs: dict[str, Any]) -> None:
        """Leaves a check the takes before the first one that cannot be made."""
        for number, place in enumerate(RETAKES):
            link = inputs.get(place)
            if link is not None and is_link(link) and link[0] in self.lost:
                for later in RETAKES[number:]:
                    inputs.pop(later, None)

    def _unchecked(self, cls: str, inputs: dict[str, Any]) -> Any:
        """The clip that a check passes on, if there is one."""
        clip = inputs.get("clip") if cls == Kind.CHECK.node else None
        return clip if clip is not None and is_link(clip) and clip[0] not in self.lost else None

    def _has_only_a_sheet(self, cls: str, inputs: dict[str, Any]) -> bool:
        """Whether a chain has lost all of its scenes, so that the sheet which it began with is its end, too.

        A chain that began with nothing then ends in a link to what is lost, see `_lacks`.
        """
        if cls not in _NEED_A_SCENE:
            return False
        chained = [inputs[name] for name, _ in CHAINED.values() if name in inputs]
        return bool(self.lost) and any(
            is_link(link) and self.nodes.get(link[0], {}).get("class_type") == Kind.SHEET.node
            for link in chained
        )
