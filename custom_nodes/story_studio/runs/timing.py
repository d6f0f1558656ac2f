"""How long results took on this server, kept beside them: the next run is estimated from it.

The estimate itself is in `story/effort.py`.
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..core import device, folders, progress
from ..files import read_once
from ..media.probe import probe
from ..results import noted, result_store
from ..s2v import timeline
from ..story.classes import FILM_SCENE, LOAD_IMAGE, LOADERS
from ..story.clip_graph import SILENCE
from ..story.effort import Took, count_above, settings_of, sound_behind
from ..story.keys import Node, constant
from ..story.needed import TALKING_VIDEO
from ..story.numbers import finite
from ..story.recipes import Nodes
from ..story.results import KEEPERS, STORE, Kind

MEASURED = (Kind.STILL, Kind.CLIP, Kind.FILM)
_KEPT = 500
"""How many results are remembered at most."""
_MOST_BYTES = 200_000
"""Of the file: some 1,000 results."""
_FILE = ".times.jsonl"


class _Run(NamedTuple):
    """The run of one prompt.

    Attributes:
        since: when the work for its next result began, at the earliest.
        made: the kinds of which it has made a result.
    """

    prompt_id: str
    since: float
    made: frozenset[Kind]


_run = _Run("", 0.0, frozenset())
"""ComfyUI runs one prompt at a time."""


def begin(prompt_id: str) -> None:
    """This prompt runs, or a result of it has to be made, at the latest now."""
    global _run
    if _run.prompt_id != prompt_id:
        _run = _Run(prompt_id, time.monotonic(), frozenset())


def note(prompt_id: str, node_id: str, reused: bool) -> None:
    """A result of this prompt is finished: all since the one before was done for it."""
    global _run
    if not prompt_id:
        return
    # Where it is not known when the work began, none of it was measured.
    is_measured = _run.prompt_id == prompt_id
    begin(prompt_id)
    now = time.monotonic()
    kind = None
    if is_measured and not reused:
        # A time that is not known is no reason to fail.
        with suppress(Exception):
            kind = _remember(node_id, now - _run.since)
    _run = _Run(prompt_id, now, _run.made | {kind} if kind else _run.made)


def taken() -> dict[str, list[Took]]:
    """How long results took on this server's device, by the word of their kind, the oldest first."""
    here = device.name()
    found: dict[str, list[Took]] = {kind.word: [] for kind in MEASURED}
    for entry in noted.entries(_path()):
        # An entry that is none, such as one of a later version, is passed over.
        with suppress(KeyError, TypeError):
            work, seconds = finite(entry["work"]), finite(entry["seconds"])
            # Without a time, no work was measured.
            if entry["device"] == here and work and seconds:
                found[entry["kind"]].append(Took(str(entry["settings"]), work, seconds, bool(entry["first"])))
    return {kind: took[-_KEPT:] for kind, took in found.items()}


def effort_of(nodes: Nodes, node_id: str) -> tuple[str, float | None]:
    """The settings and the work of a result, see `Took`; None where its recording's length is not known."""
    return settings_of(nodes, node_id, result_store.default_of), _work_of(nodes, node_id)


def _work_of(nodes: Nodes, node_id: str) -> float | None:
    kind = KEEPERS.get(nodes[node_id]["class_type"])
    if kind is Kind.STILL:
        return 1.0
    if kind is Kind.FILM:
        return float(count_above(nodes, node_id, FILM_SCENE)) or None
    seconds = finite(sound_behind(nodes, node_id, lambda node: _seconds_of(nodes, node)))
    if seconds and count_above(nodes, node_id, TALKING_VIDEO):
        # The model makes whole chunks, however little of the last one is needed.
        frames = finite(seconds * timeline.FPS)
        return None if frames is None else float(timeline.chunk_count(math.ceil(frames)))
    return seconds or None


def _seconds_of(nodes: Nodes, node: Node) -> float | None:
    """The length of the sound that a node loads or makes; None for other nodes and for missing files."""
    cls, inputs = node["class_type"], node["inputs"]
    if cls == SILENCE:
        return finite(constant(nodes.__getitem__, inputs.get("duration")))
    name = inputs.get(LOADERS.get(cls, "")) if cls != LOAD_IMAGE else None
    path = folders.input_file(name) if isinstance(name, str) else None
    with suppress(OSError, ValueError):
        return _length(path) if path else None
    return None


@read_once(1024)
def _length(path: Path) -> float:
    about = probe(path)
    return about.audio_seconds or about.video_seconds


def _remember(node_id: str, seconds: float) -> Kind | None:
    graph = progress.running_graph()
    kind = KEEPERS.get(graph.get_node(node_id)["class_type"])
    if kind not in MEASURED:
        return None
    nodes = result_store.upstream(graph, node_id)
    settings, work = effort_of(nodes, node_id)
    if work is None:
        return kind
    entry: dict[str, Any] = {
        "kind": kind.word,
        "settings": settings,
        "work": round(work, 3),
        "seconds": round(seconds, 3),
        "first": kind not in _run.made,
        "device": device.name(),
    }
    try:
        noted.note(_path(), entry, _MOST_BYTES, lambda entries: entries[-_KEPT:])
    except OSError as error:
        logging.warning("The time of a result could not be kept in %s: %s", _path(), error.strerror)
    return kind


def _path() -> Path:
    return folders.output() / STORE / _FILE
