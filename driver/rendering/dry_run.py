"""What is kept of earlier renders, what a render would make anew, and why."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.error
from PIL import Image

from story_studio.story import graph as graphs
from story_studio.story.graph import Graph, Plan, SceneId

from . import manifest
from .inputs import Inputs
from .keys import FOLDERS, STORE, predict
from .render import name_inputs

_SHOWN = 40
"""Characters of a value that are shown where it changed."""
_SHEETS = {"film": ("films", ".mp4"), "sheet": ("sheets", ".jpg")}


class Step(NamedTuple):
    """What a render would do for a still, clip or film: reuse it, or make it, and why."""

    kind: str
    scene: str
    reused: bool
    why: str


class Kept(NamedTuple):
    """A finished file that is kept.

    Attributes:
        kind: still, clip, film, sheet, or `half` for what a crash left half written.
        key: its take's key; empty for what is half written.
        used_by: the projects whose last render used it.
        about: for a still or clip its seed and prompt, as far as the file tells.
    """

    kind: str
    key: str
    path: Path
    used_by: tuple[str, ...]
    about: str


@dataclass(frozen=True)
class Forecast:
    """What a render of a story would make; `keys` are those of its stills and clips, but for chosen takes."""

    steps: list[Step]
    keys: dict[tuple[str, str], str]


def forecast(
    plans: list[Plan], inputs: list[dict[str, Inputs]], output: Path, elsewhere: bool = False
) -> list[Forecast]:
    """What a render of these stories would make and what it would reuse, story by story.

    Args:
        plans: the stories; their files need not be on any server.
        inputs: their recordings and pictures.
        output: folder of the projects, with the checkpoints of the server in it.
        elsewhere: the checkpoints are on another machine; those of the last render are taken to be there.
    """
    graph = graphs.build(plans)
    predicted = predict(graph, contents(inputs))
    return [_forecast(number, plan, graph, predicted, output, elsewhere) for number, plan in enumerate(plans)]


def forget(forecasts: list[Forecast], output: Path) -> int:
    """Deletes the stills and clips that these stories would reuse; how many there were."""
    doomed = [
        path
        for found in forecasts
        for (kind, _), key in found.keys.items()
        for path in paths(output, kind, key)
    ]
    for path in doomed:
        path.unlink(missing_ok=True)
    return len(doomed)


def kept(output: Path) -> list[Kept]:
    """Every file that is kept below an output folder, oldest first in each kind."""
    users: dict[str, list[str]] = {}
    for path in sorted(output.glob(f"*/{manifest.MANIFEST}")):
        for key in set(manifest.keys_of(manifest.read(path.parent))):
            users.setdefault(key, []).append(path.parent.name)
    found = []
    for kind, (folder, suffix) in (FOLDERS | _SHEETS).items():
        paths = [path for path in (output / STORE / folder).glob(f"*{suffix}") if path.is_file()]
        for path in sorted(paths, key=lambda path: path.stat().st_mtime):
            if path.name.startswith("."):
                # A film takes minutes to write; what nobody has written to for an hour is left behind.
                if time.time() - path.stat().st_mtime > 3600:
                    found.append(Kept("half", "", path, (), ""))
                continue
            key = path.stem.rpartition(".")[2]
            about = _about(path) if kind in FOLDERS else ""
            found.append(Kept(kind, key, path, tuple(users.get(key, ())), about))
    return found


def contents(inputs: list[dict[str, Inputs]]) -> dict[str, str]:
    """SHA-256 of all inputs, by their names on a server."""
    contents = {}
    for all_inputs in inputs:
        names = name_inputs(all_inputs)
        for scene, found in all_inputs.items():
            contents[names[scene].audio] = found.recording.sha256
            if found.picture:
                contents[names[scene].image or ""] = found.picture.sha256
    return contents


def _forecast(
    number: int, plan: Plan, graph: Graph, predicted: Mapping[str, str], output: Path, elsewhere: bool
) -> Forecast:
    last = manifest.read(output / plan.story.project_id)
    before = {entry.get("id"): entry for entry in last.get("scenes", [])}
    steps: dict[str, list[Step]] = {"still": [], "clip": []}
    keys = {}
    for scene in plan.story.scenes:
        entry = before.get(scene.id, {})
        for kind, nodes in (("still", graph.stills), ("clip", graph.clips)):
            key = predicted[nodes[SceneId(number, scene.id)]]
            keys[kind, scene.id] = key
            there = elsewhere and entry.get(kind, {}).get("key") == key
            reused = there or any(paths(output, kind, key))
            why = "" if reused else _why(kind, scene.id, keys, entry, manifest.scene_settings(plan, scene))
            steps[kind].append(Step(kind, scene.id, reused, why))
    film = [_film_step(plan, last, steps["clip"], keys, output, elsewhere)] if plan.story.film else []
    chosen = {
        (kind, scene.id)
        for scene in plan.story.scenes
        for kind, take in (("still", scene.still_take), ("clip", scene.clip_take))
        if take
    }
    own = {place: key for place, key in keys.items() if place not in chosen}
    return Forecast([*steps["still"], *steps["clip"], *film], own)


def _why(
    kind: str,
    scene: str,
    keys: dict[tuple[str, str], str],
    entry: dict[str, Any],
    settings: dict[str, dict[str, Any] | None],
) -> str:
    if not entry:
        return "the scene is new"
    if kind not in entry:
        return "it was not finished"
    if entry[kind].get("key") == keys[kind, scene]:
        return "its file is gone"
    reasons = []
    if kind == "clip" and entry.get("still", {}).get("key") != keys["still", scene]:
        reasons.append("its still is another")
    reasons.append(_changes(entry.get("settings", {}).get(kind) or {}, settings[kind] or {}))
    return "; ".join(filter(None, reasons)) or "its workflow or models are others"


def _film_step(
    plan: Plan,
    last: dict[str, Any],
    clips: list[Step],
    keys: dict[tuple[str, str], str],
    output: Path,
    elsewhere: bool,
) -> Step:
    made = [step.scene for step in clips if not step.reused]
    film = last.get("film") or {}
    if made:
        return Step("film", "", False, f"new clips: {', '.join(made)}")
    if not film:
        return Step("film", "", False, "there is none yet")
    before = {entry["id"]: entry.get("clip", {}).get("key") for entry in last["scenes"]}
    others = [scene for (kind, scene), key in keys.items() if kind == "clip" and before.get(scene) != key]
    if changes := _changes(film.get("settings", {}), manifest.film_settings(plan)):
        return Step("film", "", False, changes)
    if others:
        return Step("film", "", False, f"other takes: {', '.join(others)}")
    if not elsewhere and not any(_glob(output, "films", film.get("key", ""), ".mp4")):
        return Step("film", "", False, "its file is gone")
    return Step("film", "", True, "")


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Which settings are others, with their values."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    told = [f"{name} ({_shown(old.get(name))} -> {_shown(new.get(name))})" for name in names]
    return ", ".join(told)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def paths(output: Path, kind: str, key: str) -> Iterator[Path]:
    folder, suffix = FOLDERS[kind]
    return _glob(output, folder, key, suffix)


def _glob(output: Path, folder: str, key: str, suffix: str) -> Iterator[Path]:
    return (path for path in (output / STORE / folder).glob(f"*.{key}{suffix}") if path.name[0] != ".")


def _about(path: Path) -> str:
    """Seed and prompt of a still or clip, from the graph that ComfyUI wrote into it."""
    try:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                tags = dict(picture.info)
        else:
            with av.open(str(path)) as clip:
                tags = dict(clip.metadata)
        graph = json.loads(tags.get("prompt", "{}"))
        named = {
            node.get("_meta", {}).get("title", "").rpartition(": ")[2]: next(
                iter(node["inputs"].values()), ""
            )
            for node in graph.values()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError, av.error.FFmpegError):
        return ""
    return ", ".join(f"{name} {_shown(named[name])}" for name in ("seed", "prompt") if name in named)
