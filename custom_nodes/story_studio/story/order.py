"""The order of a prompt's scenes, kept outside of what ComfyUI hashes, so that its cost is linear in them.

ComfyUI hashes a node together with everything upstream of it. In a chain (`after`, or the `film` and
`storyboard` inputs) every scene is upstream of all later ones, so time and memory of the hashes grow with the
square of the number of scenes. Before ComfyUI validates a prompt, `in_order` replaces the chains by a shallow
tree of In Order nodes, which request their inputs one after the other. Pure functions over plain data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from .classes import CHAINS, FILM_SCENE, OURS, STORYBOARD
from .keys import ORDER
from .needed import TALKING_VIDEO
from .recipes import Link, Nodes, is_link
from .results import Kind
from .word_times import WORD_TIMES

IN_ORDER = "StoryStudio_InOrder"
QUEUED = "queued"
"""A constant of the In Order node that requests all results of a prompt: an `id` that no other prompt has, so
that this node is never cached, and the ids of the `results`."""
INPUTS = tuple(f"input_{number}" for number in range(1, 17))
"""The inputs of an In Order node, all optional."""
JOINED_FILM, JOINED_STORYBOARD, LAST = 0, 1, 2
"""The outputs of an In Order node: its inputs joined, as a film or as a storyboard, and the last input."""
CHAINED = {
    FILM_SCENE: (CHAINS[FILM_SCENE], JOINED_FILM),
    STORYBOARD: (CHAINS[STORYBOARD], JOINED_STORYBOARD),
}
"""The nodes that form chains: the input that links to the one before, and what joins them instead."""
RESULTS = frozenset(kind.node for kind in Kind)


class Ordered(NamedTuple):
    """A prompt whose order is kept by In Order nodes.

    Attributes:
        nodes: the API workflow.
        targets: the output nodes that ComfyUI has to run.
    """

    nodes: Nodes
    targets: list[str]


def in_order(nodes: Nodes, outputs: Collection[str], queued: str, fewest: int = 2) -> Ordered | None:
    """The same prompt without chains: in the order of its links, and stills first where links leave it open.

    Args:
        nodes: an API workflow; it is not changed.
        outputs: the output nodes that are to run.
        queued: an id that no other prompt has.
        fewest: as many results are ordered; a single one has no order, but can be followed.

    Returns:
        None if there is nothing to order: fewer results, or links that form a loop.
    """
    sequence = topological(nodes, outputs)
    if sum(nodes[node]["class_type"] in RESULTS for node in sequence) < fewest:
        return None
    return _Rewriting(nodes, sequence).rewrite(outputs, queued)


def with_chains(nodes: Nodes) -> Nodes:
    """The nodes upstream of a film or sheet as people know them: a chain in place of In Order nodes."""
    joined: dict[str, list[Link]] = {}
    chained = {
        node: {**content, "inputs": dict(content["inputs"])}
        for node, content in nodes.items()
        if content["class_type"] != IN_ORDER
    }
    for content in list(chained.values()):
        for name, value in content["inputs"].items():
            scenes = _joined(nodes, value, joined) if is_link(value) else []
            for before, scene in pairwise(scenes):
                chained[scene.node]["inputs"][name] = list(before)
            if scenes:
                content["inputs"][name] = list(scenes[-1])
    return chained


def _joined(nodes: Nodes, value: Sequence[Any], known: dict[str, list[Link]]) -> list[Link]:
    """What an In Order node, and those that it is linked to, are linked to, each once; a link to another node
    itself. `known` has what was found of In Order nodes: those of a hostile workflow may be linked often."""
    node = nodes.get(value[0])
    if node is None or node["class_type"] != IN_ORDER:
        return [Link(*value)]
    if value[0] not in known:
        known[value[0]] = []  # of a node that leads to itself
        inputs = node["inputs"]
        links = [link for name in INPUTS if name in inputs for link in _joined(nodes, inputs[name], known)]
        known[value[0]] = list(dict.fromkeys(links))
    return known[value[0]]


def topological(nodes: Nodes, outputs: Iterable[str]) -> list[str]:
    """The outputs and all nodes upstream, each after those that it links to; empty if links form a loop."""
    ranks = {Kind.SHEET.node: 0, Kind.STILL.node: 1, Kind.FILM.node: 2}
    done: dict[str, None] = {}
    entered: dict[str, Iterator[str]] = {}
    for start in sorted(outputs, key=lambda node: ranks.get(nodes[node]["class_type"], 3)):
        path = [] if start in done else [start]
        while path:
            node = path[-1]
            sources = entered.setdefault(node, iter(_sources(nodes, node)))
            source = next((source for source in sources if source not in done), None)
            if source is None:
                done[path.pop()] = None
            elif source in entered:
                return []
            else:
                path.append(source)
    return list(done)


def _sources(nodes: Nodes, node: str) -> list[str]:
    """The nodes that a node links to; first those before it in a chain, which then come before its own."""
    inputs = nodes[node]["inputs"]
    chained = {ORDER, *(name for name, _ in CHAINED.values())}
    names = sorted(inputs, key=lambda name: name not in chained)
    return [inputs[name][0] for name in names if is_link(inputs[name]) and inputs[name][0] in nodes]


class _Rewriting:
    """A copy of a prompt whose chains are being replaced.

    Attributes:
        nodes: the copy.
        sequence: the nodes that are to run, in topological order.
        results: those of them that are results.
    """

    def __init__(self, nodes: Nodes, sequence: Sequence[str]):
        self.nodes: Nodes = {node: {**nodes[node], "inputs": dict(nodes[node]["inputs"])} for node in nodes}
        self.sequence = sequence
        self.results = [node for node in sequence if self._class(node) in RESULTS]
        self._chain_of: dict[str, list[str]] = {}
        self._known: dict[tuple[Link, ...], str] = {}

    def rewrite(self, outputs: Collection[str], queued: str) -> Ordered:
        wanted = self._checks_beside([node for node in self.results if node in outputs])
        wanted = self._masters_last(wanted)
        first_clip = next((node for node in wanted if self._class(node) == Kind.CLIP.node), None)
        filmed = self._filmed()
        self._remove_order()
        self._replace_chains()
        root = self._request(wanted, queued)
        # A node that only saves or shows something has no output by which In Order could request it.
        targets = [node for node in outputs if self._class(node) not in RESULTS]
        if first_clip and (stills := self._tree(self._uncovered(self._before(first_clip)))):
            for node in filmed.intersection(targets):
                self._gate(node, filmed, stills)
            video = self.nodes[first_clip]["inputs"].get("video")
            if is_link(video) and self._class(video[0]) == TALKING_VIDEO:
                # A target of its own, it requests its models at once if memory allows, and they are read
                # while stills are rendered.
                self.nodes[video[0]]["inputs"][ORDER] = list(stills)
                targets.append(first_clip)
        return Ordered(self.nodes, [root, *targets])

    def _checks_beside(self, wanted: Sequence[str]) -> list[str]:
        """The results, each check right after what it checks: a verdict is known while others are made."""
        beside: dict[str, list[str]] = {node: [] for node in wanted}
        for node in wanted:
            clip = self.nodes[node]["inputs"].get("clip")
            if self._class(node) == Kind.CHECK.node and is_link(clip) and clip[0] in beside:
                beside[clip[0]].append(node)
        moved = {check for checks in beside.values() for check in checks}
        return [each for node in wanted if node not in moved for each in (node, *beside[node])]

    def _masters_last(self, wanted: Sequence[str]) -> list[str]:
        """The results, masters and what is made of them at the end: their models are read once for all."""
        late: set[str] = set()
        for node in self.sequence:
            if self._class(node) == Kind.MASTER.node or not late.isdisjoint(_sources(self.nodes, node)):
                late.add(node)
        return sorted(wanted, key=lambda node: node in late)

    def _request(self, wanted: Sequence[str], queued: str) -> str:
        """Adds the In Order node that requests results one after the other."""
        clips = [node for node in wanted if self._class(node) == Kind.CLIP.node]
        begin = wanted.index(clips[0]) if clips else len(wanted)
        stills = self._tree(self._uncovered(wanted[:begin]))
        requested = self._tree([*([stills] if stills else []), *self._uncovered(wanted[begin:])])
        root = self._add_in_order([requested] if requested else [])
        self.nodes[root]["inputs"][QUEUED] = {"id": queued, "results": list(wanted)}
        return root

    def _before(self, clip: str) -> list[str]:
        return self.results[: self.results.index(clip)]

    def _class(self, node: str) -> str:
        return self.nodes[node]["class_type"] if node in self.nodes else ""

    def _filmed(self) -> set[str]:
        """Clips and films, and all nodes downstream of them."""
        found: set[str] = set()
        for node in self.sequence:
            is_clip = self._class(node) in (Kind.CLIP.node, Kind.FILM.node)
            if is_clip or not found.isdisjoint(_sources(self.nodes, node)):
                found.add(node)
        return found

    def _remove_order(self) -> None:
        """Removes the `after` of all nodes that run for a result: results are in order without it."""
        ordered = {node for node in self.sequence if self._class(node) in (RESULTS | CHAINED.keys())}
        for_results = set(self.results)
        for node in reversed(self.sequence):
            if node not in for_results:
                continue
            for_results.update(_sources(self.nodes, node))
            inputs = self.nodes[node]["inputs"]
            after = inputs.get(ORDER)
            if self._waits_for_results(node) and is_link(after) and after[0] in ordered:
                del inputs[ORDER]

    def _waits_for_results(self, node: str) -> bool:
        # A Word Times is not a result: it uses the encoder that the clip it waits for has loaded.
        return self._class(node).startswith(OURS) and self._class(node) != WORD_TIMES

    def _replace_chains(self) -> None:
        """Makes the nodes of chains independent, and joins them for the nodes that use the end of a chain."""
        before: dict[str, Link] = {}
        for node in self.sequence:
            name, _ = CHAINED.get(self._class(node), ("", 0))
            if is_link(link := self.nodes[node]["inputs"].get(name)):
                before[node] = Link(*link)
                del self.nodes[node]["inputs"][name]
        for node in self.sequence:
            for name, value in self.nodes[node]["inputs"].items():
                if is_link(value) and value[0] in before:
                    chain = self._chain(value[0], before)
                    self._chain_of[node] = [link.node for link in chain]
                    _, output = CHAINED[self._class(value[0])]
                    self.nodes[node]["inputs"][name] = list(self._tree(chain, output) or value)

    @staticmethod
    def _chain(end: str, before: Mapping[str, Link]) -> list[Link]:
        """The nodes of a chain, in order, and before them what the first one is linked to."""
        chain = [Link(end)]
        while (previous := before.get(chain[-1].node)) is not None:
            chain.append(previous)
        return chain[::-1]

    def _uncovered(self, results: Sequence[str]) -> list[Link]:
        """The results without those that the next one requests in the same order, as a film its clips."""
        kept: list[str] = []
        for node in results:
            chain = [scene for scene in self._chain_of.get(node, []) if self._class(scene) in CHAINED]
            scenes = [
                source
                for scene in chain
                for source in _sources(self.nodes, scene)
                if self._class(source) in RESULTS
            ]
            if scenes and kept[-len(scenes) :] == scenes:
                del kept[-len(scenes) :]
            kept.append(node)
        return [Link(node) for node in kept]

    def _tree(self, links: Sequence[Link], output: int = JOINED_FILM) -> Link | None:
        """In Order nodes for links, in as few levels as possible; None for no link, and one link as it is."""
        while len(links) > 1:
            groups = [links[start : start + len(INPUTS)] for start in range(0, len(links), len(INPUTS))]
            links = [self._in_order(group, output) for group in groups]
        return links[0] if links else None

    def _in_order(self, links: Sequence[Link], output: int) -> Link:
        if len(links) == 1:
            return links[0]
        if tuple(links) not in self._known:
            self._known[tuple(links)] = self._add_in_order(links)
        return Link(self._known[tuple(links)], output)

    def _add_in_order(self, links: Sequence[Link]) -> str:
        node = f"in_order_{len(self.nodes)}"
        while node in self.nodes:
            node += "_"
        inputs = {name: list(link) for name, link in zip(INPUTS, links, strict=False)}
        self.nodes[node] = {"class_type": IN_ORDER, "inputs": inputs, "_meta": {"title": "In Order"}}
        return node

    def _gate(self, node: str, filmed: Collection[str], stills: Link) -> None:
        """Lets a node wait for all stills before it requests a clip or film."""
        inputs = self.nodes[node]["inputs"]
        for name, value in inputs.items():
            if is_link(value) and value[0] in filmed:
                inputs[name] = list(self._in_order([stills, Link(*value)], LAST))
