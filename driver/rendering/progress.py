"""How far a render is: phase, scene, step, and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from story_studio.story.graph import Graph, Owner, Phase, SceneId

from .retakes import nodes_of_retakes

Stage = Phase | Literal["results"]
PHASES: dict[Phase, str] = {"still": "stills", "clip": "clips", "film": "film"}
STAGES: dict[Stage, str] = {**PHASES, "results": "results"}
"""What a status may be about: a phase of the render, and the results that are fetched after it."""
CHECK = "check"
"""The activity while a clip is checked."""
_STILL_COST = 2.0
_MASTER_COST, _FILM_COST = 0.2, 0.05
"""Of a second of a master and of a film, where a second of a clip costs 1."""
_CHECK_COST = 0.03
"""Of a second of a checked clip: little beside making it with models."""
_QUICK_COST = 0.01
"""Of a second of a clip that is made without models, among others that are made with models."""


class Status(NamedTuple):
    """Where a render is.

    Attributes:
        phase: what is being made.
        scene: the scene's id (of a result its file's name), or "" while a node runs that serves several.
        done, total: finished and all scenes (or films) of this phase.
        fraction: how much of the scene's work is done, 0 to 1.
        step: the running node's step and its number of steps, or None if it reports none.
        percent: how much of everything is done, 0 to 100.
        seconds_left: estimated from this render's own pace, or None while nothing is known of it.
        activity: what is done besides the usual: a check, or why a clip is made again; empty otherwise.
    """

    phase: Stage
    scene: str
    done: int
    total: int
    fraction: float
    step: tuple[int, int] | None
    percent: float
    seconds_left: float | None
    activity: str = ""


OnProgress = Callable[[Status], None]


@dataclass
class _Work:
    """One still, clip, check, master or film: its expected cost, and how much of it is done.

    Attributes:
        is_check: whether it is one, of which the user is shown no number.
        retakes: how often the clip was made again.
    """

    phase: Phase
    cost: float
    fraction: float = 0.0
    reused: bool = False
    is_check: bool = False
    retakes: int = 0

    def start_retake(self, number: int) -> None:
        """The clip is made again, for the time of this number."""
        self.cost *= (number + 1) / (self.retakes + 1)
        self.retakes, self.fraction = number, number / (number + 1)

    def step(self, fraction: float) -> None:
        """So much of this take is done."""
        done = (self.retakes + fraction) / (self.retakes + 1)
        self.fraction = max(self.fraction, min(done, 0.99))


@dataclass
class ProgressTracker:
    """Follows a render's events and reports its status; the time left follows from the pace of each phase.

    Attributes:
        seconds: length of each scene.
        on_progress: called with each new status.
        quick: scenes whose clips are made without models, among others that are made with models.
        spent: seconds that each phase took, without checks.
        checks_spent: seconds that checks of clips took.
    """

    seconds: dict[SceneId, float]
    on_progress: OnProgress
    quick: frozenset[SceneId] = frozenset()
    spent: dict[Phase, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    checks_spent: float = 0.0
    _work: dict[str, _Work] = field(default_factory=dict)
    _checks: frozenset[str] = frozenset()
    _retakes: dict[str, tuple[int, int]] = field(default_factory=dict)
    _reasons: dict[SceneId, str] = field(default_factory=dict)
    _activity: str = ""
    _graph: Graph = field(default_factory=Graph)
    _current: Owner = Owner("still", None)
    _step: tuple[int, int] | None = None
    _since: float = 0.0

    def start(self, graph: Graph) -> None:
        """A graph was submitted: the whole, or what is left of it."""
        self._graph, self._since = graph, time.monotonic()
        stills = [*graph.characters.values(), *graph.stills.values()]
        self._work = {node: _Work("still", _STILL_COST) for node in stills}
        self._work |= {
            graph.chosen_clip(scene).node: _Work(
                "clip", self.seconds[scene] * (_QUICK_COST if scene in self.quick else 1)
            )
            for scene in graph.clips
        }
        self._work |= {
            node: _Work("clip", _CHECK_COST * self.seconds[scene], is_check=True)
            for scene, node in graph.checks.items()
            if node not in self._work
        }
        self._checks = frozenset(graph.checks.values())
        self._retakes = nodes_of_retakes(graph)
        self._work |= {
            node: _Work("film", _MASTER_COST * self.seconds[scene]) for scene, node in graph.masters.items()
        }
        for story, node in graph.films.items():
            seconds = sum(self.seconds[scene] for scene in graph.clips if scene.story == story)
            self._work[node] = _Work("film", _FILM_COST * seconds)

    def executing(self, node: str) -> None:
        """A node began. A Still or Clip that looks for its result does no work."""
        self._spend()
        work = self._work.get(node)
        if work and work.phase != "film" and node not in self._checks:
            return
        self._current, self._step = self._graph.owners.get(node, self._current), None
        self._activity = self._activity_of(node)
        self._report(self._phase())

    def _activity_of(self, node: str) -> str:
        if node in self._checks:
            return CHECK
        number, most = self._retakes.get(node, (0, 0))
        scene = self._current.scene
        if not number or scene is None:
            return ""
        if (work := self._work.get(self._graph.chosen_clip(scene).node)) and number > work.retakes:
            work.start_retake(number)
        what, reason = f"retake {number} of {most}", self._reasons.get(scene)
        return f"{what}: {reason}" if reason else what

    def number_of_retake(self, node: str) -> int:
        """For which retake alone a node runs; 0 if it runs for none."""
        return self._retakes.get(node, (0, 0))[0]

    def checked(self, node: str, reasons: Sequence[str]) -> None:
        """A clip was checked; it did not pass for these reasons."""
        for scene, check in self._graph.checks.items():
            if check == node and reasons:
                self._reasons[scene] = reasons[0]
        if (work := self._work.get(node)) and work.is_check:
            work.fraction = 1.0

    def step(self, node: str, value: float, steps: float) -> None:
        """A node reported a step."""
        fraction, self._step = value / steps, (round(value), round(steps)) if steps > 1 else None
        owner = self._graph.owners.get(node)
        is_check = node in self._checks
        work = self._work.get(node if is_check else self._end_of(owner) or "")
        if work and work.fraction < 1:
            # The check of a clip that may be made again is no part of making it.
            if work.is_check or not is_check:
                work.step(fraction)
            self._spend()
            self._report(self._phase())

    def made(self, node: str, reused: bool) -> None:
        """A still, clip or film is finished; a reused one took no work."""
        if work := self._work.get(node):
            work.fraction, work.reused = 1.0, reused
            self._spend()
            self._current, self._step, self._activity = Owner(work.phase, None), None, ""
            self._report(work.phase)

    def _spend(self) -> None:
        now = time.monotonic()
        if self._activity == CHECK:
            self.checks_spent += now - self._since
        else:
            self.spent[self._current.phase] += now - self._since
        self._since = now

    def _end_of(self, owner: Owner | None) -> str | None:
        if owner is None:
            return None
        if owner.scene is None:
            return next(iter(self._graph.films.values()), None) if owner.phase == "film" else None
        graph = self._graph
        if owner.phase == "clip" and owner.scene in graph.clips:
            return graph.chosen_clip(owner.scene).node
        nodes = graph.masters if owner.phase == "film" else graph.stills
        sheets = {sheet.owner: node for sheet, node in graph.characters.items()}
        return nodes.get(owner.scene) or sheets.get(owner.scene)

    def _phase(self) -> Phase:
        # The clips' recordings and settings are read while stills are missing; that is not yet their phase.
        for phase in PHASES:
            if any(work.phase == phase and work.fraction < 1 for work in self._work.values()):
                return phase
        return self._current.phase

    def _report(self, phase: Phase) -> None:
        scene = self._current.scene if self._current.phase == phase else None
        of_phase = [work for work in self._work.values() if work.phase == phase and not work.is_check]
        work = self._work.get(self._end_of(self._current) or "") if self._current.phase == phase else None
        everything = sum(work.cost for work in self._work.values()) or 1
        done = sum(work.cost * work.fraction for work in self._work.values())
        self.on_progress(
            Status(
                phase,
                scene.scene if scene else "",
                sum(work.fraction == 1 for work in of_phase),
                len(of_phase),
                work.fraction if work else 0.0,
                self._step,
                100 * done / everything,
                self._seconds_left(),
                self._activity if scene else "",
            )
        )

    def _seconds_left(self) -> float | None:
        left = 0.0
        for phase in PHASES:
            works = [work for work in self._work.values() if work.phase == phase and not work.reused]
            done = sum(work.cost * work.fraction for work in works)
            missing = sum(work.cost * (1 - work.fraction) for work in works)
            if missing and done:
                left += missing * self.spent[phase] / done
            elif missing and phase != "film":
                return None
        return left
