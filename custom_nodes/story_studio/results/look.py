"""A graph's keys and results, looked up together: each key is computed once, and each folder is read once.

The panel asks several routes about the same graph, so the keys are kept for the next one.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections import OrderedDict
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from ..core import execution
from ..core.execution import DynamicPrompt
from ..story.keys import ORDER, Keys, hash_parts
from ..story.pins import Pin
from ..story.recipes import Nodes, is_link
from ..story.results import KEEPERS, Kind, key_in
from . import result_store

_KEPT = 4
"""The keys of how many graphs are kept: a graph with all fingerprints always has the same."""


class _Known(NamedTuple):
    """The keys of a graph: today's, those again, which differ where something is made again each time, and
    those of earlier versions."""

    today: Keys
    again: Keys
    earlier: list[Keys]


_known: OrderedDict[str, _Known] = OrderedDict()
_lock = threading.Lock()


class Folder:
    """The results of a kind, from one look at their folder."""

    def __init__(self, kind: Kind):
        self._path = result_store.folder_of(kind)
        names = os.listdir(self._path) if self._path.is_dir() else []
        self._by_key: dict[str, str] = {}
        self._by_name: dict[str, list[str]] = {}
        for name in sorted(name for name in names if name.endswith(kind.suffix)):
            if key := key_in(name):
                self._by_key.setdefault(key, name)
                self._by_name.setdefault(_start(name), []).append(name)

    @property
    def is_empty(self) -> bool:
        """Whether there is no result of the kind at all."""
        return not self._by_key

    def find(self, key: str) -> Path | None:
        """As `result_store.find`."""
        name = self._by_key.get(key)
        return self._path / name if name else None

    def named(self, file_name: str) -> list[Path]:
        """The results that have the same name as this file, the newest first."""
        dated = []
        for name in self._by_name.get(_start(file_name), []):
            path = self._path / name
            try:
                dated.append((path.stat().st_mtime_ns, path))
            except OSError:
                # It was deleted, or is a broken link.
                continue
        return [path for _, path in sorted(dated, reverse=True)]


def _start(file_name: str) -> str:
    # A safe name has no dot.
    return os.path.normcase(file_name.split(".", 1)[0])


class Look:
    """What exists of a graph's results.

    Attributes:
        nodes: the API workflow.
        graph: the same as ComfyUI has it, with the fingerprints that its results depend on.
        films: the films that its nodes are part of.
        keys: today's keys of its nodes.
    """

    def __init__(self, nodes: Nodes, graph: DynamicPrompt, known: _Known):
        self.nodes, self.graph, self._known = nodes, graph, known
        self._folders: dict[Kind, Folder] = {}
        self.keys = known.today
        self.films = result_store.Films(graph)

    def folder(self, kind: Kind) -> Folder:
        """The results of a kind as they were when this was first asked."""
        if kind not in self._folders:
            self._folders[kind] = Folder(kind)
        return self._folders[kind]

    def own(self, node_id: str) -> str | None:
        """The key of what a Still or Clip is linked to, whatever take is chosen in it: the OWN of a pin.
        None if it is another one each time.
        """
        own = self._known.today.own(node_id)
        return own if own == self._known.again.own(node_id) else None

    def key(self, node_id: str) -> str | None:
        """The key of a result as in `result_store.kept_by`; None if its graph has none, or another one each
        time, as without a file."""
        if path := self.files.get(node_id):
            return key_in(path.name)
        with suppress(Exception):
            key = self._known.today.of(node_id)
            return key if key == self._known.again.of(node_id) else None
        return None

    def _find(self, node_id: str) -> Path | None:
        kind = KEEPERS[self.nodes[node_id]["class_type"]]
        folder = self.folder(kind)
        if folder.is_empty:
            return None
        for keys in (self._known.today, *self._known.earlier):
            if path := folder.find(keys.of(node_id)):
                return path
        return None

    def pin(self, node_id: str) -> tuple[Pin | None, bool]:
        """The take that is chosen in a Still, Clip or Retake, and whether it holds."""
        return self._known.today.pin(node_id), self._known.today.holds(node_id)

    @cached_property
    def files(self) -> dict[str, Path]:
        """The files that exist for its Stills, Clips, Retakes and Masters, by node id."""
        found = {}
        for node_id, node in self.nodes.items():
            if KEEPERS.get(node["class_type"]) in (Kind.STILL, Kind.CLIP, Kind.MASTER):
                # A branch that ComfyUI has refused, for instance for a missing node, has no key and does not
                # run; nor has one that is not finished.
                with suppress(Exception):
                    if path := self._find(node_id):
                        found[node_id] = path
        return found


def look(nodes: Nodes) -> Look:
    """What exists of the results of an API workflow; ComfyUI takes the fingerprints that they depend on.

    Call it in a thread of its own, as routes do their work: it waits for what ComfyUI does as a coroutine.
    """
    graph = execution.make_graph(nodes)
    asyncio.run(execution.ask_fingerprints(graph, _upstream_of_results(nodes)))
    digest = hash_parts(json.dumps(nodes, default=repr, sort_keys=True))
    with _lock:
        known = _known.pop(digest, None) or _keys(graph)
        _known[digest] = known
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    return Look(nodes, graph, known)


def _keys(graph: DynamicPrompt) -> _Known:
    today, *earlier = result_store.formulas(graph)
    values = [graph.get_node(node_id).get("is_changed") for node_id in graph.all_node_ids()]
    # Not a number, or in a list of fingerprints: made again each time.
    differs = any(one != one for value in values for one in (value if isinstance(value, list) else [value]))
    return _Known(today, result_store.keys_of(graph.get_node) if differs else today, earlier)


def _upstream_of_results(nodes: Nodes) -> list[str]:
    found: dict[str, None] = {}
    pending = [node_id for node_id, node in nodes.items() if node["class_type"] in KEEPERS]
    while pending:
        node_id = pending.pop()
        if node_id in found or node_id not in nodes:
            continue
        found[node_id] = None
        inputs = nodes[node_id]["inputs"]
        pending += [value[0] for name, value in inputs.items() if name != ORDER and is_link(value)]
    return list(found)
