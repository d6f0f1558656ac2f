"""Results in the store: a worker with an empty disk continues what another one began."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from story_studio.checks.check import check_key
from story_studio.story.graph import Graph, SceneId, build
from story_studio.story.results import STORE, Kind

from ..rendering.checks import read_reference
from ..rendering.keys import choose_keys, possible_keys
from ..rendering.prepare import RenderPlan
from ..rendering.retakes import takes_of
from ..storage.results import find_results
from ..storage.store import NotStored, Store
from . import log

SHARED = "checkpoints"
"""The store's folder of results that all workers share. It keeps its first name, so that results of earlier
versions are found."""


def stored_key(kind: Kind, key: str) -> str:
    """Where the store has the result of this kind and key."""
    return f"{SHARED}/{kind.folder}/{key}{kind.suffix}"


def restore(
    plan: RenderPlan,
    stores: Sequence[Store],
    output: Path,
    check: Callable[[], None],
    touch: Callable[[Path], bool] = Path.exists,
) -> int:
    """Fetches the stills and clips of a story that a store has and this machine has not, and the clips'
    checks.

    Args:
        plan: the story.
        stores: asked for each of them, so that a store that does not work is noticed before the render.
        output: the output folder of the server.
        check: called before each of them; what it raises ends this.
        touch: called with each result that this machine has; False if it is gone by now.

    Returns:
        How many were fetched.

    Raises:
        StorageError: the store fails.
    """

    def exists(kind: Kind, key: str) -> bool:
        name = stored_key(kind, key)
        return any(find_results(output, kind, key)) or any(store.find(name) for store in stores)

    graph = build([plan], frozenset(SceneId(0, scene) for scene in plan.failed))
    keys = choose_keys(graph, possible_keys(graph, plan.contents), exists)
    missing: list[tuple[str, Path]] = []
    wanted = [(Kind.STILL, node, f"{sheet.character}_sheet") for sheet, node in graph.characters.items()]
    wanted += [(Kind.STILL, node, scene.scene) for scene, node in graph.stills.items()]
    wanted += [(Kind.CLIP, node, scene.scene) for scene in graph.clips for node in takes_of(graph, scene)]
    for kind, node, of in wanted:
        key = keys[node]
        if not any(map(touch, find_results(output, kind, key))):
            name = f"{plan.story.project_id}_{of}.{key}{kind.suffix}"
            missing.append((stored_key(kind, key), output / STORE / kind.folder / name))

    def fetch(place: tuple[str, Path]) -> bool:
        check()
        return fetch_result(stores, *place)

    def fetch_checks(scene: SceneId) -> int:
        places = list(_missing_checks(plan, graph, keys, scene, output, touch, fetched))
        return sum(map(fetch, places))

    with ThreadPoolExecutor(8) as pool:
        places = zip(missing, pool.map(fetch, missing), strict=True)
        fetched = {path for (_, path), is_fetched in places if is_fetched}
        return len(fetched) + sum(pool.map(fetch_checks, graph.checks))


def _missing_checks(
    plan: RenderPlan,
    graph: Graph,
    keys: Mapping[str, str],
    scene: SceneId,
    output: Path,
    touch: Callable[[Path], bool],
    fetched: Set[Path],
) -> Iterator[tuple[str, Path]]:
    """Where the store may have the checks of a scene's clips that were fetched, and where they belong.

    A check is a shortcut: where one cannot be looked for, the clip is measured again.
    """
    clips = [_here(output, Kind.CLIP, keys, node) for node in takes_of(graph, scene)]
    clips = [clip for clip in clips if clip in fetched]
    talking = graph.nodes[graph.checks[scene]]["inputs"]["talking"]
    is_compared = talking and scene in graph.stills
    still = _here(output, Kind.STILL, keys, graph.stills[scene]) if is_compared else None
    if not clips or (is_compared and still is None):
        return
    try:
        reference = read_reference(still) if still else None
        found = [check_key(clip, talking=talking, reference=reference) for clip in clips if clip]
    except (OSError, ValueError) as error:
        text = f"The checks of {scene.scene} are not looked for: {error}"
        log.event("not_restored", text, level=logging.WARNING)
        return
    for key in found:
        if not any(map(touch, find_results(output, Kind.CHECK, key))):
            name = Kind.CHECK.file_name(f"{plan.story.project_id}_{scene.scene}", key)
            yield stored_key(Kind.CHECK, key), output / STORE / Kind.CHECK.folder / name


def _here(output: Path, kind: Kind, keys: Mapping[str, str], node: str) -> Path | None:
    """The file of a node's result, or of the take that is chosen in it, on this machine."""
    return next(find_results(output, kind, keys[node]), None)


def fetch_result(stores: Sequence[Store], key: str, target: Path) -> bool:
    """Fetches a result from the first store that has it; whether one has. Raises StorageError."""
    for store in stores:
        # A damaged one is as good as none: it is made again.
        with suppress(NotStored):
            store.download(key, target)
            return True
    return False
