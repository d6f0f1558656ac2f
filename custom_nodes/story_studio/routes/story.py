"""The route that turns the graph on the canvas into a story file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from aiohttp import web

from ..core import server
from ..results.look import Look, look
from ..story.characters import mentioned_in
from ..story.graph import SceneId, build
from ..story.graph import warnings as warnings_of
from ..story.problems import Problem, Problems
from ..story.read_graph import StoryFile, read_graph
from ..story.scene import UNWRITTEN
from ..story.scenes import CanvasScene, Workflow, read_scenes
from ..story.schema import parse
from ..story.story_data import data_of
from ..story.unfinished import left_to_do
from .body import answer, texts_in, workflow_in
from .graph import planned

ROUTE = "/story_studio/story"
_USAGE = (
    'Send {"prompt": an API workflow, "keys": {node id: key of its result}} as JSON; and where more is known '
    'of the story, "story": its data and "workflows": {path: text of a recipe}.'
)
_PARTS: tuple[Literal["still", "clip"], ...] = ("still", "clip")


def add_route() -> None:
    """Lets the server answer POST /story_studio/story."""
    server.add_post_route(ROUTE, _answer)


def story_of(
    there: Look,
    keys: Mapping[str, str],
    known: dict[str, Any] | None = None,
    workflows: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The story file of a workflow. Opened again, it finds the results that exist.

    Args:
        there: what exists of an API workflow.
        keys: the keys of the stills and clips that exist, by node id.
        known: the data of the story, if more is known of it than the workflow shows; with the same scenes.
        workflows: the texts of recipes that it names, by their paths.

    Returns:
        `name` and `text`, the story file's; `warnings`, sentences; of them `losses`, which say what of the
        graph has no place in a story, and `faults`, for which it cannot be opened.

    Raises:
        Problems: the workflow has no scenes, or is too large.
    """
    shown = read_graph(there.nodes)
    file = shown if known is None else _as_known(shown, known, workflows or {})
    # A story that is not finished has no graph yet; what it lacks is among the warnings.
    with suppress(Problems):
        file.losses.extend(_keep_results(file.data, there, keys, workflows or {}))
    return {
        "name": f"{shown.data['project_id']}.json",
        "text": json.dumps(file.data, indent=2, ensure_ascii=False),
        "warnings": file.warnings,
        "losses": file.losses,
        "faults": file.faults,
    }


def _as_known(shown: StoryFile, data: dict[str, Any], workflows: Mapping[str, str]) -> StoryFile:
    """The story that a workflow shows, as it is known. Raises Problems: it has not as many scenes."""
    faults, advice = [], shown.advice
    try:
        story = parse(data)
        data = data_of(story, {})
        plan = planned("story.json", story, {}, workflows).plan
        advice = [*left_to_do(data["scenes"]), *warnings_of(replace(plan, files={}))]
    except Problems as error:
        faults = [str(problem) for problem in error.problems]
    if len(data["scenes"]) != len(shown.data["scenes"]):
        raise Problems([Problem("story", "has other scenes than the workflow.")])
    return shown._replace(data=data, faults=faults, advice=advice)


def _keep_results(
    data: dict[str, Any], before: Look, keys: Mapping[str, str], workflows: Mapping[str, str]
) -> Iterator[str]:
    """Names the results that exist as takes where the opened story would not find them by itself.

    A take holds as long as nothing of its scene is changed in the story. Yields a sentence about the scenes
    whose results it would make differently, if there are any.
    """
    workflow = Workflow(before.nodes)
    people = parse(data).characters
    # A character that is only named on the canvas is meant to be described.
    scenes = [
        None if any(mentioned_in(text, people) for text in _prompts(workflow, scene)) else scene
        for scene in read_scenes(workflow)
    ]
    changed: list[str] = []
    # Clips are made from stills, so the takes of these come first.
    for part in _PARTS:
        take = f"{part}_take"
        # A take that always holds stays; one that may let go is chosen again, by what the story makes.
        for written in data["scenes"]:
            if "@" in (written.get(take) or ""):
                del written[take]
        built = build([planned("story.json", parse(data), {}, workflows).plan])
        after = look(built.nodes)
        nodes = built.stills if part == "still" else built.clips
        for scene, written in zip(scenes, data["scenes"], strict=True):
            node, mine = nodes.get(SceneId(0, written["id"])), scene and _node_of(scene, part)
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


def _prompts(workflow: Workflow, scene: CanvasScene) -> tuple[str, str]:
    """What is typed for a scene's still and for its clip."""
    movement = workflow.inputs_above(scene.clip, "positive").get("positive")
    return scene.prompt, workflow.prompt(movement) or ""


def _node_of(scene: CanvasScene, part: Literal["still", "clip"]) -> str | None:
    return scene.still if part == "still" else scene.clip


def _read(body: Any) -> Callable[[], Any]:
    prompt, keys = workflow_in(body), body["keys"]
    if not all(isinstance(key, str) for key in keys.values()):
        raise ValueError("keys")
    known, workflows = body.get("story"), texts_in(body, "workflows")
    if known is not None and not isinstance(known["scenes"], list):
        raise ValueError("scenes")
    return lambda: story_of(look(prompt), keys, known, workflows)


async def _answer(request: web.Request) -> web.Response:
    return await answer(request, _read, _USAGE)
