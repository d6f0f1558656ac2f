"""Rendering: stories in, finished files and a manifest out, whatever happens on the way."""

from __future__ import annotations

import contextlib
import errno
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from story_studio.story import graph as graphs
from story_studio.story.graph import Graph, Plan, SceneId
from story_studio.story.problems import Problem, Problems, nearest

from ..cancel import Cancel
from ..comfy import models
from ..comfy.client import Comfy, ComfyError, Lost, Rejected, Stuck, Unreachable
from ..comfy.events import Cached, Event, Executed, Executing, Failed, Finished, Progress
from ..comfy.instance import ComfyInstance
from ..comfy.queue import Router, needs
from ..files import sha256_of
from . import manifest
from .inputs import Inputs
from .progress import OnProgress, ProgressTracker

try:
    import fcntl
except ImportError:  # Windows has none: there two renders of one story are not kept apart.
    fcntl = None

QUIET = 15 * 60.0
"""Seconds without any sign of life from a running graph: reading a model may take some minutes."""
_HOUR, _A_STILL, _A_SECOND = 3600.0, 600.0, 600.0
"""Seconds that a graph may take: an hour, and so many for each still and each second of sound, ten times
what two cores without a GPU need."""


class RenderError(Exception):
    """A render that failed as a whole, not because of one scene."""


@dataclass
class _Run:
    """One render of several stories."""

    plans: list[Plan]
    host: ComfyInstance
    folders: list[Path]
    tracker: ProgressTracker
    router: Router
    made: Callable[[Path, str], None]
    cancel: Cancel
    record: manifest.Record
    current: SceneId | None = None
    again: Counter[SceneId] = field(default_factory=Counter)
    stills_end: float | None = None
    cached: frozenset[str] = frozenset()


def upload(plan_inputs: dict[str, Inputs], comfy: Comfy) -> dict[str, graphs.Files]:
    """Gives the server every recording and picture of a story, under names that follow from their content."""
    files = name_inputs(plan_inputs)
    for scene, inputs in plan_inputs.items():
        comfy.upload(inputs.recording.path, Path(files[scene].audio).name)
        if inputs.picture:
            comfy.upload(inputs.picture.path, Path(files[scene].image or "").name)
    return files


def name_inputs(plan_inputs: dict[str, Inputs]) -> dict[str, graphs.Files]:
    """What the recordings and pictures of a story are called on a server."""

    def name(path: Path, sha256: str) -> str:
        return f"story_studio/{server_name(path, sha256)}"

    return {
        scene: graphs.Files(
            name(inputs.recording.path, inputs.recording.sha256),
            name(inputs.picture.path, inputs.picture.sha256) if inputs.picture else None,
        )
        for scene, inputs in plan_inputs.items()
    }


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
    plans: list[Plan],
    seconds: dict[SceneId, float],
    host: ComfyInstance,
    output: Path,
    show: OnProgress,
    *,
    router: Router | None = None,
    made: Callable[[Path, str], None] = lambda *_: None,
    failed: Mapping[SceneId, str] | None = None,
    cancel: Cancel | None = None,
) -> list[dict[str, Any]]:
    """Renders stories as one graph and stores what comes out in `output/<project_id>/`.

    A scene that fails is left out and the rest is submitted again; what is finished is found, not made. A
    scene that runs out of memory is tried once more. A server of our own that dies or hangs is started again;
    a scene at which that happens twice is given up.

    Args:
        plans: the stories, with their files on the server.
        seconds: length of each scene's recording.
        host: the server.
        output: folder of the projects.
        show: called with the status at every step.
        router: gives turns where several renders share the server.
        made: called with each file as soon as it is stored, and its checkpoint's key.
        failed: scenes that are given up beforehand, and why; their files are not used.
        cancel: ends the render when it is set.

    Returns:
        The manifest of each story, as stored in its folder.

    Raises:
        Problems: the server lacks nodes or models; nothing was rendered.
        RenderError: something that all scenes need failed, or another render writes to the same folder.
        ServerError: our own server dies again and again.
        Cancelled: `cancel` was set.
    """
    folders = [output / plan.story.project_id for plan in plans]
    record = manifest.Record(failed=dict(failed or {}))
    tracker = ProgressTracker(seconds, show)
    run = _Run(plans, host, folders, tracker, router or Router(), made, cancel or Cancel(), record)
    began = time.monotonic()
    graph = graphs.build(plans, frozenset(record.failed))
    check(graph, host.comfy)
    with contextlib.ExitStack() as locks:
        for folder in folders:
            locks.enter_context(_locked(folder))
        try:
            while graph.stills and not _submit(run, graph):
                graph = graphs.build(plans, frozenset(run.record.failed))
        finally:
            spent = {f"{phase}s": seconds for phase, seconds in run.tracker.spent.items()}
            spent = {"total": time.monotonic() - began, **spent}
            manifests = [
                manifest.write(run.record, plan, number, folders[number], spent)
                for number, plan in enumerate(plans)
            ]
    return manifests


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keeps other renders out of a story's folder, until the end of this process at the latest."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RenderError(
                f"Another render of {folder.name} writes to {folder}: wait for it, stop it, or give another "
                "--output."
            ) from None
        except OSError as error:
            # Some network folders cannot lock; there it is as it was without.
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
                raise
        yield


def _submit(run: _Run, graph: Graph) -> bool:
    """Runs a graph to its end; False if it is to be submitted again, without the scenes that failed."""
    prompt_id = str(uuid.uuid4())
    run.record.nodes, run.current, run.cached = len(graph.nodes), None, frozenset()
    run.tracker.start(graph)
    sound = sum(run.tracker.seconds[scene] for scene in graph.clips)
    starts = run.host.starts
    deadline = _HOUR + _A_STILL * len(graph.stills) + _A_SECOND * sound
    try:
        with run.router.turn(prompt_id, *needs(graph, run.host.comfy), run.cancel):
            events = run.host.comfy.run(
                graph.nodes, prompt_id=prompt_id, timeout=deadline, quiet=QUIET, cancel=run.cancel
            )
            failed = _follow(run, graph, prompt_id, events)
    except Rejected as error:
        return _leave_out(run, graph, error)
    except (Unreachable, Lost, Stuck) as error:
        if run.host.server is None:
            with contextlib.suppress(ComfyError):
                run.host.comfy.cancel(prompt_id)
        _revive(run, error, starts)
        return False
    except BaseException:
        with contextlib.suppress(ComfyError):
            run.host.comfy.cancel(prompt_id)
        raise
    if failed:
        _note_failure(run, graph, failed)
    return failed is None


def _follow(run: _Run, graph: Graph, prompt_id: str, events: Iterator[Event]) -> Failed | None:
    failed: Failed | None = None
    began = time.monotonic()
    for event in events:
        now = time.monotonic()
        if isinstance(event, Executing | Finished) and run.current:
            run.record.seconds[run.current] += now - began
        if isinstance(event, Executing):
            began, run.current = now, graph.owners[event.node].scene
            _note_execution(run, graph, prompt_id, event.node)
        elif isinstance(event, Progress) and event.max:
            # Nodes without a bar of their own, as loaders, count to one.
            stepped = event.max > 1 and event.value >= 1 and graph.owners[event.node].phase == "clip"
            if stepped and run.stills_end and run.record.between is None:
                run.record.between = now - run.stills_end
            run.tracker.step(event.node, event.value, event.max)
        elif isinstance(event, Cached):
            run.cached = frozenset(event.nodes)
        elif isinstance(event, Executed):
            _collect(run, graph, event.node, event.output)
        elif isinstance(event, Failed):
            failed = event
        elif isinstance(event, Finished):
            for node, result in event.outputs.items():
                _collect(run, graph, node, result)
            if failed is None and event.status != "success":
                raise RenderError(f"ComfyUI ended the render ({event.status}): run the command again.")
    return failed


def _note_execution(run: _Run, graph: Graph, prompt_id: str, node: str) -> None:
    run.tracker.executing(node)
    # The nodes of another submission have other numbers.
    if (prompt_id, node) not in run.record.executed:
        run.record.loads.update(models.read_by(graph.nodes[node], run.host.comfy))
    run.record.executed.add((prompt_id, node))


def _note_failure(run: _Run, graph: Graph, failed: Failed) -> None:
    """Gives up the scene that failed; or, if it ran out of memory for the first time, makes room for it."""
    if "[Errno 28]" in failed.message:
        raise RenderError(
            f"The disk of ComfyUI's output folder is full ({failed.message}): free some space and run the "
            "same command again; what is finished is kept."
        )
    owner = graph.owners.get(failed.node)
    if owner is None or owner.scene is None:
        name = graph.nodes.get(failed.node, {}).get("_meta", {}).get("title", failed.node)
        raise RenderError(f"{name} ({failed.class_type}): {failed.message}")
    starved = failed.out_of_memory
    run.record.starved += starved
    if starved and not run.again[owner.scene]:
        run.again[owner.scene] += 1
        _tell(run, f"{owner.scene.scene} ran out of memory: it is tried once more with all memory freed.")
        with contextlib.suppress(ComfyError):
            run.host.comfy.free()
    else:
        run.record.failed[owner.scene] = failed.message


def _leave_out(run: _Run, graph: Graph, error: Rejected) -> bool:
    """Gives up the scenes whose nodes ComfyUI does not accept."""
    scenes: dict[SceneId, str] = {}
    for node, found in error.node_errors.items():
        owner = graph.owners.get(node)
        if owner and owner.scene:
            said = "; ".join(f"{one.get('message')}: {one.get('details')}" for one in found.get("errors", []))
            scenes[owner.scene] = f"{found.get('class_type')}: {said}"
    if not scenes:
        raise error
    run.record.failed |= scenes
    return False


def _revive(run: _Run, error: ComfyError, starts: int) -> None:
    how = run.host.restart(error, run.current.scene if run.current else "the graph", starts)
    run.record.events.append(how)
    if run.current:
        run.again[run.current] += 1
        if run.again[run.current] > 1:
            run.record.failed[run.current] = f"{how} It happened twice, so it was given up."
            run.host.finished()


def _tell(run: _Run, text: str) -> None:
    run.record.events.append(text)
    run.host.say(text)


def _collect(run: _Run, graph: Graph, node: str, result: dict[str, Any]) -> None:
    """Stores what a checkpoint node made, as soon as it is finished."""
    target = _target(graph, node)
    items = result.get("images") or []
    if target is None or not items or target in run.record.made:
        return
    number, name = target
    path = run.folders[number] / name
    run.host.comfy.fetch(items[0], path)
    checkpoint = result.get("checkpoint", [{}])[0]
    # What ComfyUI still has in memory says what was true when it was made.
    reused = bool(checkpoint.get("reused")) or node in run.cached
    entry = {"file": name, "sha256": sha256_of(path), "bytes": path.stat().st_size, "reused": reused}
    key = checkpoint.get("key", "")
    run.record.made[target] = entry | ({"key": key} if key else {})
    if node in graph.stills.values() and not reused:
        run.stills_end = time.monotonic()
    run.host.finished()
    run.tracker.made(node, reused)
    run.made(path, key)


def _target(graph: Graph, node: str) -> tuple[int, str] | None:
    for kind, nodes in (("still", graph.stills), ("clip", graph.clips)):
        for scene, made_by in nodes.items():
            if made_by == node:
                return scene.story, manifest.file_name(kind, scene.scene)
    for named, name in ((graph.sheets, manifest.SHEET), (graph.films, manifest.FILM)):
        for number, made_by in named.items():
            if made_by == node:
                return number, name
    return None
