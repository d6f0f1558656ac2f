"""What a render made and how, as stored beside its files in `manifest.json`."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av

from story_studio.story import graph as graphs
from story_studio.story.graph import Plan, SceneId
from story_studio.story.recipes import Recipe
from story_studio.story.schema import Scene

FILM, SHEET, MANIFEST = "film.mp4", "storyboard.jpg", "manifest.json"


@dataclass
class Record:
    """What a render of several stories has made and seen so far.

    Attributes:
        made: what was stored, by the story's number and the file's name: sha256, bytes, whether it was
            found and not made, and its checkpoint's key.
        failed: why scenes were given up.
        events: what went wrong and was mended, a sentence each.
        seconds: how long ComfyUI worked for each scene.
        between: seconds from the last still until the first step of the first clip was done; None unless
            both were made.
        loads: how often each model file was named by a loader that ran.
        executed: nodes that ran, by submission.
        starved: how often memory ran out.
    """

    made: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)
    failed: dict[SceneId, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    seconds: defaultdict[SceneId, float] = field(default_factory=lambda: defaultdict(float))
    between: float | None = None
    loads: Counter[str] = field(default_factory=Counter)
    executed: set[tuple[str, str]] = field(default_factory=set)
    nodes: int = 0
    starved: int = 0


def file_name(kind: str, scene: str) -> str:
    """The name of a scene's `still` or `clip` in its story's folder."""
    return f"{scene}_img.png" if kind == "still" else f"{scene}_video.mp4"


def read(folder: Path) -> dict[str, Any]:
    """The manifest in a story's folder; empty if there is none that can be read."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def keys_of(found: dict[str, Any]) -> Iterator[str]:
    """The keys of all checkpoints that a manifest's render used, or the last complete one before it."""
    parts = [found.get("film"), found.get("storyboard")]
    parts += [scene.get(kind) for scene in found.get("scenes", []) for kind in ("still", "clip")]
    yield from (part["key"] for part in parts if part and "key" in part)
    yield from found.get("earlier", [])


def write(record: Record, plan: Plan, number: int, folder: Path, seconds: dict[str, float]) -> dict[str, Any]:
    """Stores and returns the manifest of the story of this number; `seconds` are those of the render."""
    story = plan.story
    scenes = [_scene_entry(record, plan, number, scene, folder) for scene in story.scenes]
    film = record.made.get((number, FILM))
    if film:
        film = film | _measure(folder / FILM) | {"settings": film_settings(plan)}
    finished = sum(("clip" if plan.clips else "still") in scene for scene in scenes)
    complete = finished == len(scenes) and (film or not story.film or not plan.clips)
    manifest = {
        "project_id": story.project_id,
        "title": story.title,
        "status": "complete" if complete else "partial" if finished else "failed",
        "profile": story.profile,
        "film": film,
        "storyboard": record.made.get((number, SHEET)),
        "scenes": scenes,
        "warnings": graphs.warnings(plan) + record.events,
        "seconds": {name: round(spent, 2) for name, spent in seconds.items()}
        | ({} if record.between is None else {"between": round(record.between, 2)}),
        "model_loads": dict(sorted(record.loads.items())),
        "out_of_memory": record.starved,
        "nodes": {"in_graph": record.nodes, "executed": len(record.executed)},
    }
    if not complete:
        # What this one did not get to is still in use.
        manifest["earlier"] = sorted(set(keys_of(read(folder))))
    aside = folder / ".manifest.part"
    aside.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(aside, folder / MANIFEST)
    return manifest


def scene_settings(plan: Plan, scene: Scene) -> dict[str, dict[str, Any] | None]:
    """What a scene's still and clip are made with, by the templates' parameters; None for a given picture."""
    still = None if scene.image else _used(plan.profile.still, graphs.still_values(plan, scene))
    clip = _used(plan.profile.clip, graphs.clip_values(plan, scene)) if plan.clips else None
    return {"still": still, "clip": clip}


def film_settings(plan: Plan) -> dict[str, Any]:
    """What a film is made with, besides its clips."""
    story = plan.story
    return {
        **(story.film.model_dump(exclude={"partial"}) if story.film else {}),
        "title": story.title,
        "scenes": [scene.id for scene in story.scenes],
        "chapter titles": [scene.title for scene in story.scenes],
        "texts": [scene.text for scene in story.scenes],
    }


def _scene_entry(record: Record, plan: Plan, number: int, scene: Scene, folder: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": scene.id, "seed": plan.story.seed_of(scene)}
    for kind in ("still", "clip"):
        if made := record.made.get((number, file_name(kind, scene.id))):
            entry[kind] = made
    if "clip" in entry:
        entry["clip"] = entry["clip"] | _measure(folder / entry["clip"]["file"])
    if reason := record.failed.get(SceneId(number, scene.id)):
        entry["error"] = reason
    entry["settings"] = scene_settings(plan, scene)
    entry["seconds"] = round(record.seconds[SceneId(number, scene.id)], 2)
    return entry


def _used(template: Recipe, values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in template.parameters}


def _measure(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        seconds = round((container.duration or 0) / av.time_base, 3)
        return {"seconds": seconds, "width": video.width, "height": video.height}
