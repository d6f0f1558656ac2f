"""The route that turns the graph on the canvas into a story file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Literal

from aiohttp import web

from ..core import server
from ..results.look import Look, look
from ..story.graph import SceneId, build
from ..story.problems import Problems
from ..story.read_graph import read_graph
from ..story.scene import UNWRITTEN
from ..story.scenes import CanvasScene, Workflow, read_scenes
from ..story.schema import parse
from .body import answer, workflow_in
from .graph import planned

ROUTE = "/story_studio/story"
_USAGE = 'Send {"prompt": an API workflow, "keys": {node id: key of its result}} as JSON.'
_PARTS: tuple[Literal["still", "clip"], ...] = ("still", "clip")


def add_route() -> None:
    """Lets the server answer POST /story_studio/story."""
    server.add_post_route(ROUTE, _answer)


def story_of(there: Look, keys: Mapping[str, str]) -> dict[str, Any]:
    """The story file of a workflow. Opened again, it finds the results that exist.

    Args:
        there: what exists of an API workflow.
        keys: the keys of the stills and clips that exist, by node id.

    Returns:
        `name` and `text`, the story file's; `warnings`, sentences; of them `losses`, which say what of the
        graph has no place in a story, and `faults`, for which it cannot be opened.

    Raises:
        Problems: the workflow has no scenes, or is too large.
    """
    file = read_graph(there.nodes)
    # A story that is not finished has no graph yet; what it lacks is among the warnings.
    with suppress(Problems):
        file.losses.extend(_keep_results(file.data, there, keys))
    text = json.dumps(file.data, indent=2, ensure_ascii=False)
    return {
        "name": f"{file.data['project_id']}.json",
        "text": text,
        "warnings": file.warnings,
        "losses": file.losses,
        "faults": file.faults,
    }


def _keep_results(data: dict[str, Any], before: Look, keys: Mapping[str, str]) -> Iterator[str]:
    """Names the results that exist as takes where the opened story would not find them by itself.

    A take holds as long as nothing of its scene is changed in the story. Yields a sentence about the scenes
    whose results it would make differently, if there are any.
    """
    scenes = read_scenes(Workflow(before.nodes))
    changed: list[str] = []
    # Clips are made from stills, so the takes of these come first.
    for part in _PARTS:
        take = f"{part}_take"
        # A take that always holds stays; one that may let go is chosen again, by what the story makes.
        for written in data["scenes"]:
            if "@" in written.get(take, ""):
                del written[take]
        built = build([planned("story.json", parse(data), {}, {}).plan])
        after = look(built.nodes)
        nodes = built.stills if part == "still" else built.clips
        for scene, written in zip(scenes, data["scenes"], strict=True):
            node, mine = nodes.get(SceneId(0, written["id"])), _node_of(scene, part)
            own = after.key(node) if node and take not in written else None
            if own is None or mine is None:
                continue
            key = keys.get(mine)
            if key and key != own:
                written[take] = f"{key}@{own}"
            elif not key and own != (before.key(mine) or own) and written.get("prompt") != UNWRITTEN:
                changed.append(f"{written['id']} ({part})")
    if changed:
        yield (
            "A story file has no place for something that these are made from, so they will be rendered "
            f"differently from it: {', '.join(changed)}. Render them before you save, and they stay."
        )


def _node_of(scene: CanvasScene, part: Literal["still", "clip"]) -> str | None:
    return scene.still if part == "still" else scene.clip


def _read(body: Any) -> Callable[[], Any]:
    prompt, keys = workflow_in(body), body["keys"]
    if not all(isinstance(key, str) for key in keys.values()):
        raise ValueError("keys")
    return lambda: story_of(look(prompt), keys)


async def _answer(request: web.Request) -> web.Response:
    return await answer(request, _read, _USAGE)
