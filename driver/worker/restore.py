"""Finished stills and clips in the store: a worker with an empty disk goes on with what another one began."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from story_studio.story import graph as graphs
from story_studio.story.graph import Plan, SceneId

from ..rendering import dry_run
from ..rendering.inputs import Inputs
from ..rendering.keys import FOLDERS, STORE, predict
from ..storage.store import NotStored, Store


def stored_key(folder: str, key: str, suffix: str) -> str:
    """Where the store has the checkpoint with this key."""
    return f"checkpoints/{folder}/{key}{suffix}"


def restore(
    plan: Plan,
    found: Mapping[str, Inputs],
    without: frozenset[SceneId],
    store: Store,
    output: Path,
    check: Callable[[], None],
) -> int:
    """Fetches the stills and clips of a story that the store has and this machine has not.

    Args:
        plan: the story, with its files as the server names them.
        found: its recordings and pictures.
        without: scenes that are not rendered.
        store: asked for each of them, so that a store which does not work is found out before a render.
        output: the output folder of the server.
        check: called before each of them; what it raises ends this.

    Returns:
        How many were fetched.

    Raises:
        StorageError: the store fails.
    """
    graph = graphs.build([plan], without)
    keys = predict(graph, dry_run.contents([dict(found)]))
    wanted: list[tuple[str, Path]] = []
    for kind, nodes in (("still", graph.stills), ("clip", graph.clips)):
        folder, suffix = FOLDERS[kind]
        for scene, node in nodes.items():
            if not any(dry_run.paths(output, kind, keys[node])):
                name = f"{plan.story.project_id}_{scene.scene}.{keys[node]}{suffix}"
                place = output / STORE / folder / name
                wanted.append((stored_key(folder, keys[node], suffix), place))

    def fetch(place: tuple[str, Path]) -> bool:
        check()
        # A damaged one is as good as none: it is made again.
        with suppress(NotStored):
            store.download(*place)
            return True
        return False

    with ThreadPoolExecutor(8) as pool:
        return sum(pool.map(fetch, wanted))
