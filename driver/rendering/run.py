"""One render of several stories: its graph is submitted until every scene is finished or given up."""

from __future__ import annotations

import contextlib
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from story_studio.story.clip_graph import recipe_of
from story_studio.story.graph import Graph, SceneId, build
from story_studio.story.model_files import has_models
from story_studio.story.problems import Problem, Problems
from story_studio.story.results import Kind, key_in
from story_studio.story.schema import Story
from story_studio.story.still_graph import scenes_with_sheet

from ..cancel import Cancel
from ..comfy import models
from ..comfy.client import Comfy
from ..comfy.connection import ComfyError, Unreachable
from ..comfy.errors import Gone, Lost, Rejected, Stuck
from ..comfy.events import Event, Executed, Executing, Failed, Finished, Progress
from ..comfy.instance import ComfyInstance
from ..comfy.node_origins import remedy
from ..comfy.prompt import PromptRun, run_prompt
from ..comfy.queue import Router, needs
from ..files import is_disk_full, sha256_of, written_aside
from .cut import read_cut
from .manifest import Result
from .prepare import RenderPlan
from .progress import OnProgress, ProgressTracker
from .record import Record
from .reported import Reported, check_of, files_of, first_take_of
from .retakes import leave_out_check, leave_out_retakes, takes_of
from .subtitles import write_subtitles

OnResult = Callable[[Path, str], None]
_HOUR, _A_STILL, _A_SECOND = 3600.0, 600.0, 600.0
"""Seconds that a graph may take: an hour, and so many for each still and each second of audio, ten times
what two cores without a GPU need."""


class RenderError(Exception):
    """A render that failed as a whole, not because of one scene."""


def check(graph: Graph, comfy: Comfy, plans: Sequence[RenderPlan] = ()) -> None:
    """Checks that the server has every node and model file that a graph names; `plans` are its stories.

    Raises:
        Problems: everything that is missing, with its folder, size and address.
    """
    known = comfy.object_info()
    classes = {node["class_type"] for node in graph.nodes.values()}
    problems = [
        Problem("server", f"has no node {name}: {remedy(name, known)}")
        for name in sorted(classes - set(known))
    ]
    lacking = models.missing(graph.nodes, comfy)
    named = dict(lora for plan in plans for lora in _loras(plan.story))
    problems += [Problem(named.get(file.file, "models"), f"a file is missing: {file}") for file in lacking]
    if problems:
        raise Problems(problems)


def _loras(story: Story) -> Iterator[tuple[str, str]]:
    """The LoRAs of a story: file and place."""
    named = {"image_settings": story.image_settings.loras}
    named |= {f"characters.{key}": character.loras for key, character in story.characters.items()}
    for where, loras in named.items():
        yield from ((lora.file, f"{where}.loras[{index}]") for index, lora in enumerate(loras))


@dataclass
class Run:
    """A render in progress.

    Attributes:
        plans: the stories.
        folders: where the files of each story go.
        instance: the server.
        router: gives turns where several renders share the server.
        on_progress: called with the status at every step.
        on_result: called with each file as soon as it is stored, and its key.
        cancel: ends the render when it is set.
        record: what was made so far.
        tracker: how far the render is.
    """

    plans: Sequence[RenderPlan]
    folders: Sequence[Path]
    instance: ComfyInstance
    router: Router
    on_progress: OnProgress
    on_result: OnResult
    cancel: Cancel
    record: Record = field(init=False)
    tracker: ProgressTracker = field(init=False)
    _node: str = ""
    _scene: SceneId | None = None
    _retries: Counter[SceneId] = field(default_factory=Counter)
    _fewer_retakes: dict[SceneId, int] = field(default_factory=dict)
    _unchecked: set[SceneId] = field(default_factory=set)
    _first_takes: dict[tuple[int, str], Reported] = field(default_factory=dict)
    _graph: Graph = field(default_factory=Graph)
    _since: float = 0.0
    _stills_end: float | None = None
    _freed: bool = False

    def __post_init__(self) -> None:
        seconds: dict[SceneId, float] = {}
        failed: dict[SceneId, str] = {}
        for number, plan in enumerate(self.plans):
            seconds |= {SceneId(number, scene): length for scene, length in plan.seconds.items()}
            failed |= {SceneId(number, scene): reason for scene, reason in plan.failed.items()}
        self.record = Record(failed=failed)
        self.tracker = ProgressTracker(seconds, self.on_progress, self._quick())

    def _quick(self) -> frozenset[SceneId]:
        """The scenes whose clips are made without models, among others that are made with models."""
        plans = [(number, plan) for number, plan in enumerate(self.plans) if has_models(plan.profile.clip)]
        return frozenset(
            SceneId(number, scene.id)
            for number, plan in plans
            for scene in plan.story.scenes
            if not has_models(recipe_of(plan, scene))
        )

    def keep_voices(self) -> None:
        """Copies the voices that were spoken into the stories' folders. Raises OSError."""
        for number, (plan, folder) in enumerate(zip(self.plans, self.folders, strict=True)):
            for scene, spoken in plan.spoken.files.items():
                name, key = Kind.VOICE.project_file(scene), key_in(spoken.name) or ""
                with written_aside(folder / name) as aside:
                    shutil.copyfile(spoken, aside)
                size, reused = spoken.stat().st_size, scene in plan.spoken.reused
                self.record.results[number, name] = Result(
                    file=name, sha256=sha256_of(spoken), bytes=size, reused=reused, key=key
                )
                self.on_result(folder / name, key)

    def graph(self, only_sheets: bool = False) -> Graph:
        """What is left to be submitted: all but the scenes, checks and retakes that were given up.

        Without checks that nothing depends on, where the server has an older node pack, which has no node
        for them.
        """
        graph = build(self.plans, frozenset(self.record.failed), only_sheets)
        known = self.instance.comfy.object_info()
        if Kind.CLIP.node in known and Kind.CHECK.node not in known and graph.checks and not graph.retakes:
            self._unchecked |= set(graph.checks)
            text = "The server's node pack is older and checks no clips: " + remedy(Kind.CHECK.node, ())
            if text not in self.record.events:
                self.record.events.append(text)
                self.instance.say(f"Warning: {text}")
        for scene, count in self._fewer_retakes.items():
            leave_out_retakes(graph, scene, count)
        for scene in self._unchecked:
            leave_out_check(graph, scene)
        return graph

    def submit(self, graph: Graph) -> bool:
        """Runs a graph to its end; False if it is to be submitted again, without the scenes that failed."""
        comfy, prompt_id = self.instance.comfy, str(uuid.uuid4())
        self._graph, self._node, self._scene = graph, "", None
        self.record.nodes = len(graph.nodes)
        self.tracker.start(graph)
        audio = sum(self.tracker.seconds[scene] * len(takes_of(graph, scene)) for scene in graph.clips)
        timeout = _HOUR + _A_STILL * (len(graph.stills) + len(graph.characters)) + _A_SECOND * audio
        starts = self.instance.starts
        try:
            with self.router.turn(prompt_id, *needs(graph, comfy), self.cancel):
                self._since = time.monotonic()
                end = run_prompt(
                    comfy,
                    graph.nodes,
                    self._observe,
                    prompt_id=prompt_id,
                    timeout=timeout,
                    cancel=self.cancel,
                )
                for node, output in end.outputs.items():
                    self._collect(end, node, output)
                # Where ComfyUI still has all models, no loader has run.
                if not self.record.memory:
                    self._note_memory(prompt_id)
        except Rejected as error:
            self._give_up_rejected(error)
            return False
        except (Unreachable, Lost, Stuck) as error:
            self._restart(error, starts, prompt_id)
            return False
        except Gone:
            if self._freed:
                raise
            self._forget_cached()
            return False
        if end.failed:
            self._note_failure(end.failed)
        elif end.status != "success":
            raise RenderError(f"ComfyUI ended the render ({end.status}): run the command again.")
        return end.failed is None

    def _observe(self, run: PromptRun, event: Event) -> None:
        if isinstance(event, Executing | Progress) and event.node not in self._graph.nodes:
            # The node pack replaces the chains of a graph by nodes of its own (`story/order.py`).
            return
        now = time.monotonic()
        if isinstance(event, Executing | Finished) and self._scene:
            self.record.seconds[self._scene] += now - self._since
        if isinstance(event, Executing):
            self._since, self._node = now, event.node
            self._scene = self._graph.owners[event.node].scene
            self._note_execution(run.id, event.node)
        elif isinstance(event, Progress) and event.max:
            # Nodes without a bar of their own, like loaders, count to one.
            stepped = event.max > 1 and event.value >= 1 and self._graph.owners[event.node].phase == "clip"
            if stepped and self._stills_end and self.record.between is None:
                self.record.between = now - self._stills_end
            self.tracker.step(event.node, event.value, event.max)
        elif isinstance(event, Executed):
            # From a server that died no file can be had: it is found when the graph is submitted again.
            with contextlib.suppress(Unreachable):
                self._collect(run, event.node, event.output)

    def _note_execution(self, prompt_id: str, node: str) -> None:
        self.tracker.executing(node)
        # The nodes of another submission have other numbers.
        if (prompt_id, node) not in self.record.executed:
            files = models.read_by(self._graph.nodes[node], self.instance.comfy)
            self.record.loads.update(files)
            # The server makes its plan before it reads the first model.
            if files and not self.record.memory:
                self._note_memory(prompt_id)
        self.record.executed.add((prompt_id, node))

    def _note_memory(self, prompt_id: str) -> None:
        """Says how models share the memory, if some have to be freed."""
        # An older node pack has no such route.
        with contextlib.suppress(ComfyError, KeyError):
            plan = self.instance.comfy.memory_plan()
            # Another program may have queued the latest prompt.
            self.record.memory = plan.text if plan.prompt_id == prompt_id else ""
            if self.record.memory and not plan.keeps_all:
                self.instance.say(f"Memory: {self.record.memory}.")

    def _note_failure(self, failed: Failed) -> None:
        """Gives up the scene that failed; or, if it ran out of memory for the first time, frees memory."""
        if is_disk_full(failed.message):
            raise RenderError(
                f"The disk of ComfyUI's output folder is full ({failed.message}): free some space and run "
                "the same command again; what is finished is kept."
            )
        owner = self._graph.owners.get(failed.node)
        if owner is None or owner.scene is None:
            name = self._graph.nodes.get(failed.node, {}).get("_meta", {}).get("title", failed.node)
            raise RenderError(f"{name} ({failed.class_type}): {failed.message}")
        self.record.out_of_memory += failed.out_of_memory
        if failed.out_of_memory and not self._retries[owner.scene]:
            self._retries[owner.scene] += 1
            text = f"{owner.scene.scene} ran out of memory: it is tried once more with all memory freed."
            self.record.events.append(text)
            self.instance.say(text)
            with contextlib.suppress(ComfyError):
                self.instance.comfy.free()
        else:
            self._give_up_node(failed.node, owner.scene, failed.message)

    def _give_up_node(self, node: str, scene: SceneId, reason: str) -> None:
        """Gives up what a node of a scene runs for: a retake or the check of its clip, which leaves it a clip
        that is better than none; else the scene."""
        retakes = self._graph.retakes.get(scene, [])
        number = retakes.index(node) + 1 if node in retakes else self.tracker.number_of_retake(node)
        if node == self._graph.checks.get(scene):
            self._unchecked.add(scene)
            text = f"{scene.scene}: its clip was not checked: {reason}"
        elif number:
            self._fewer_retakes[scene] = number - 1
            text = f"{scene.scene}: retake {number} was given up, earlier takes stay: {reason}"
        else:
            self._give_up({scene: reason})
            return
        self.record.events.append(text)
        self.instance.say(f"Warning: {text}")

    def _forget_cached(self) -> None:
        """Lets ComfyUI forget the outputs that it still has, whose files were removed in the meantime."""
        self._freed = True
        self.record.events.append(
            "Results that ComfyUI had in memory were removed from its disk: made again."
        )
        self.instance.comfy.free()

    def _give_up_rejected(self, error: Rejected) -> None:
        """Gives up the scenes whose nodes ComfyUI does not accept; raises `error` if there are none."""
        scenes: dict[SceneId, str] = {}
        for node, rejection in error.node_errors.items():
            owner = self._graph.owners.get(node)
            if owner and owner.scene:
                reasons = [
                    f"{each.get('message')}: {each.get('details')}" for each in rejection.get("errors", [])
                ]
                scenes[owner.scene] = f"{rejection.get('class_type')}: {'; '.join(reasons)}"
        if not scenes:
            raise error
        self._give_up(scenes)

    def _restart(self, error: ComfyError, starts: int, prompt_id: str) -> None:
        scene = self._scene
        how = self.instance.restart(error, scene.scene if scene else "the graph", starts, prompt_id)
        self.record.events.append(how)
        if scene:
            self._retries[scene] += 1
            if self._retries[scene] > 1:
                self._give_up_node(self._node, scene, f"{how} It happened twice, so it was given up.")
                self.instance.finished()

    def _give_up(self, reasons: dict[SceneId, str]) -> None:
        """Gives up scenes; and with a character sheet all scenes whose stills are made from it."""
        self.record.failed |= reasons
        for sheet in self._graph.characters:
            if reason := reasons.get(sheet.owner):
                for scene in scenes_with_sheet(self.plans[sheet.story], sheet.character):
                    why = f"the character sheet of {sheet.character} failed: {reason}"
                    self.record.failed.setdefault(SceneId(sheet.story, scene.id), why)

    def _collect(self, run: PromptRun, node: str, output: dict[str, Any]) -> None:
        """Stores results as soon as they are finished."""
        if checked := check_of(self._graph, node, output):
            self.record.note_check(checked.reused() if node in run.cached else checked)
            self.tracker.checked(node, checked.check.failures)
            for missing in checked.check.figures.missing:
                self._warn(checked.scene.story, f"Not measured: {missing}")
        if first := first_take_of(self._graph, node, output):
            self._first_takes[first.story, first.name] = first._replace(
                reused=first.reused or node in run.cached
            )
        for file in files_of(self._graph, node, output):
            if (file.story, file.name) not in self.record.results:
                # What ComfyUI still has in memory says what was true when it was made.
                self._store(node, file._replace(reused=file.reused or node in run.cached), output)

    def _store(self, node: str, file: Reported, output: Mapping[str, Any]) -> None:
        path = self._fetch(file)
        self.instance.finished()
        if node not in self._graph.checks.values():
            for warning in output.get("warnings", []):
                self._warn(file.story, f"{path.stem}: {warning}")
        if file.kind is not Kind.CHECK:
            self.tracker.made(node, file.reused)
        if node in self._graph.stills.values() and not file.reused:
            self._stills_end = time.monotonic()
        self.on_result(path, file.key)
        if file.kind is Kind.FILM:
            cut = read_cut(path)
            for subtitles in write_subtitles(cut.captions if cut else {}, path.parent):
                self.on_result(subtitles, "")

    def _fetch(self, file: Reported) -> Path:
        path = self.folders[file.story] / file.name
        self.instance.comfy.fetch(file.item, path)
        key = {"key": file.key} if file.key else {}
        self.record.results[file.story, file.name] = Result(
            file=file.name, sha256=sha256_of(path), bytes=path.stat().st_size, reused=file.reused, **key
        )
        return path

    def keep_first_takes(self) -> None:
        """Stores the first takes of scenes whose check has not chosen one, where the render ends early."""
        # Whatever ended it may be in the way here, too.
        with contextlib.suppress(ComfyError, OSError):
            for file in self._first_takes.values():
                if (file.story, file.name) not in self.record.results:
                    self.on_result(self._fetch(file), file.key)

    def _warn(self, story: int, text: str) -> None:
        """Says something about a story, once."""
        if text not in self.record.warnings[story]:
            self.record.warnings[story].append(text)
            self.instance.say(f"Warning: {text}")
