"""Rendering: stories in, finished files and a manifest out, whatever happens on the way."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av

from . import graph as graphs
from . import models
from .comfy import Comfy, ComfyError
from .events import Executed, Executing, Failed, Finished, Progress
from .graph import Graph, Plan, SceneId
from .inputs import Inputs
from .problems import Problem, Problems, nearest
from .progress import Pace, Show
from .templates import Template

_FILM, _SHEET = "film.mp4", "storyboard.jpg"


class RenderError(Exception):
    """A render that failed as a whole, not because of one scene."""


@dataclass
class _Run:
    """What one render of several stories has made and seen so far."""

    plans: list[Plan]
    comfy: Comfy
    folders: list[Path]
    pace: Pace
    failed: dict[SceneId, str] = field(default_factory=dict)
    made: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)
    seconds: defaultdict[SceneId, float] = field(default_factory=lambda: defaultdict(float))
    loads: Counter[str] = field(default_factory=Counter)
    executed: set[tuple[str, str]] = field(default_factory=set)
    nodes: int = 0


def upload(plan_inputs: dict[str, Inputs], comfy: Comfy) -> dict[str, graphs.Files]:
    """Gives the server every recording and picture of a story, under names that follow from their content."""
    files = {}
    for scene, inputs in plan_inputs.items():
        audio = comfy.upload(
            inputs.recording.path, server_name(inputs.recording.path, inputs.recording.sha256)
        )
        picture = inputs.picture
        files[scene] = graphs.Files(
            audio, comfy.upload(picture.path, server_name(picture.path, picture.sha256)) if picture else None
        )
    return files


def server_name(path: Path, sha256: str) -> str:
    """A file's name on the server: the same content has the same name, so it is found again."""
    suffix = path.suffix.lower()
    return sha256[:24] + (suffix if suffix[1:].isalnum() and len(suffix) <= 6 else "")


def check(graph: Graph, comfy: Comfy) -> None:
    """Whether the server has every node and model file that a graph names.

    Raises:
        Problems: everything that is missing, with its folder, size and address.
    """
    known = comfy.object_info()
    classes = {node["class_type"] for node in graph.nodes.values()}
    problems = [
        Problem("server", f"has no node {name}: install the node pack there with ./install.sh --into, {hint}")
        for name in sorted(classes - set(known))
        if (hint := nearest(name, known) if not name.startswith("StoryStudio_") else "then restart it.")
    ]
    problems += [Problem("models", str(file)) for file in models.missing(graph.nodes, comfy)]
    if problems:
        raise Problems(problems)


def render(
    plans: list[Plan], seconds: dict[SceneId, float], comfy: Comfy, output: Path, show: Show
) -> list[dict[str, Any]]:
    """Renders stories as one graph and stores what comes out in `output/<project_id>/`.

    A scene that fails is left out and the rest is submitted again; what is finished is found, not made.

    Args:
        plans: the stories, with their files on the server.
        seconds: length of each scene's recording.
        comfy: the server.
        output: folder of the projects.
        show: called with the status at every step.

    Returns:
        The manifest of each story, as stored in its folder.

    Raises:
        Problems: the server lacks nodes or models; nothing was rendered.
        RenderError: something that all scenes need failed.
    """
    folders = [output / plan.story.project_id for plan in plans]
    run = _Run(plans, comfy, folders, Pace(seconds, show))
    began = time.monotonic()
    graph = graphs.build(plans)
    check(graph, comfy)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        while graph.stills and (failed := _submit(run, graph)):
            scene, reason = failed
            run.failed[scene] = reason
            graph = graphs.build(plans, frozenset(run.failed))
    finally:
        total = time.monotonic() - began
        manifests = [_write_manifest(run, number, total) for number in range(len(plans))]
    return manifests


def _submit(run: _Run, graph: Graph) -> tuple[SceneId, str] | None:
    """Runs a graph to its end; a scene that failed comes back with its reason."""
    prompt_id = str(uuid.uuid4())
    run.nodes = len(graph.nodes)
    run.pace.start(graph)
    failed: Failed | None = None
    began, current = time.monotonic(), None
    try:
        for event in run.comfy.run(graph.nodes, prompt_id=prompt_id):
            now = time.monotonic()
            if isinstance(event, Executing):
                if current:
                    run.seconds[current] += now - began
                began, current = now, graph.owners[event.node].scene
                _note_execution(run, graph, prompt_id, event.node)
            elif isinstance(event, Progress) and event.max:
                run.pace.step(event.node, event.value, event.max)
            elif isinstance(event, Executed):
                _collect(run, graph, event.node, event.output)
            elif isinstance(event, Failed):
                failed = event
            elif isinstance(event, Finished):
                if current:
                    run.seconds[current] += now - began
                for node, result in event.outputs.items():
                    _collect(run, graph, node, result)
                if failed is None and event.status != "success":
                    raise RenderError(f"ComfyUI ended the render ({event.status}): run the command again.")
    except BaseException:
        with contextlib.suppress(ComfyError):
            run.comfy.cancel(prompt_id)
        raise
    if failed is None:
        return None
    return _scene_of(graph, failed), failed.message


def _note_execution(run: _Run, graph: Graph, prompt_id: str, node: str) -> None:
    run.pace.executing(node)
    # The nodes of another submission have other numbers.
    if (prompt_id, node) not in run.executed:
        run.loads.update(models.read_by(graph.nodes[node], run.comfy))
    run.executed.add((prompt_id, node))


def _scene_of(graph: Graph, failed: Failed) -> SceneId:
    owner = graph.owners.get(failed.node)
    if owner is None or owner.scene is None:
        name = graph.nodes.get(failed.node, {}).get("_meta", {}).get("title", failed.node)
        raise RenderError(f"{name} ({failed.class_type}): {failed.message}")
    return owner.scene


def _collect(run: _Run, graph: Graph, node: str, result: dict[str, Any]) -> None:
    """Stores what a checkpoint node made, as soon as it is finished."""
    target = _target(run, graph, node)
    items = result.get("images") or []
    if target is None or not items or target in run.made:
        return
    number, name = target
    path = run.folders[number] / name
    run.comfy.fetch(items[0], path)
    reused = bool(result.get("checkpoint", [{}])[0].get("reused"))
    run.made[target] = {"file": name, "sha256": _sha256(path), "bytes": path.stat().st_size, "reused": reused}
    run.pace.made(node, reused)


def _target(run: _Run, graph: Graph, node: str) -> tuple[int, str] | None:
    for nodes, suffix in ((graph.stills, "img.png"), (graph.clips, "video.mp4")):
        for scene, made_by in nodes.items():
            if made_by == node:
                return scene.story, f"{scene.scene}_{suffix}"
    for named, name in ((graph.sheets, _SHEET), (graph.films, _FILM)):
        for number, made_by in named.items():
            if made_by == node:
                return number, name
    return None


def _write_manifest(run: _Run, number: int, total: float) -> dict[str, Any]:
    story, folder = run.plans[number].story, run.folders[number]
    scenes = [_scene_entry(run, number, scene.id) for scene in story.scenes]
    film = run.made.get((number, _FILM))
    if film:
        film |= _measure(folder / _FILM)
    finished = sum("clip" in scene for scene in scenes)
    manifest = {
        "project_id": story.project_id,
        "title": story.title,
        "status": "complete" if film and finished == len(scenes) else "partial" if finished else "failed",
        "profile": story.profile,
        "film": film,
        "storyboard": run.made.get((number, _SHEET)),
        "scenes": scenes,
        "warnings": graphs.warnings(run.plans[number]),
        "seconds": {
            "total": round(total, 2),
            **{phase + "s": round(spent, 2) for phase, spent in run.pace.spent.items()},
        },
        "model_loads": dict(sorted(run.loads.items())),
        "nodes": {"in_graph": run.nodes, "executed": len(run.executed)},
    }
    aside = folder / ".manifest.part"
    aside.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(aside, folder / "manifest.json")
    return manifest


def _scene_entry(run: _Run, number: int, scene_id: str) -> dict[str, Any]:
    plan = run.plans[number]
    scene = next(scene for scene in plan.story.scenes if scene.id == scene_id)
    entry: dict[str, Any] = {"id": scene_id, "seed": plan.story.seed_of(scene)}
    still, clip = (
        run.made.get((number, f"{scene_id}_img.png")),
        run.made.get((number, f"{scene_id}_video.mp4")),
    )
    if still:
        entry["still"] = still
    if clip:
        entry["clip"] = clip | _measure(run.folders[number] / clip["file"])
    if reason := run.failed.get(SceneId(number, scene_id)):
        entry["error"] = reason
    entry["settings"] = {
        "still": None if scene.image else _used(plan.profile.still, graphs.still_values(plan, scene)),
        "clip": _used(plan.profile.clip, graphs.clip_values(plan, scene)),
    }
    entry["seconds"] = round(run.seconds[SceneId(number, scene_id)], 2)
    return entry


def _used(template: Template, values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in template.parameters}


def _measure(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        seconds = round((container.duration or 0) / av.time_base, 3)
        return {"seconds": seconds, "width": video.width, "height": video.height}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
