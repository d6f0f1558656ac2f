"""What large workflows cost on the canvas: to queue them, and to ask what the panel shows of them."""

from __future__ import annotations

import copy
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import requests

from driver.comfy.process import Server
from story_studio.story.results import STORE, Kind
from tests.story.test_order import graph_of
from tests.studio import CPU_FLAGS, is_comfyui
from tests.tiny_models import make_models
from tests.voices import write_voice

from .table import Cell, Progress, Report, Section

SIZES = (50, 500)
PROFILES = ("draft", "standard")
ROUTES = ("scenes", "takes", "plan", "films", "voice")
NOTES = [
    "Processor time of the server in ms, tiny models, 0.3 s of sound a scene; ratio: of the largest story to "
    "the smallest. Linear is 10.",
    "queue: POST /prompt as an API client sends it; checked: as a canvas does, so that scenes which ComfyUI "
    "would refuse are left out. Goal: at most about twice the time of queue.",
    "one missing: checked, and a recording is not there.",
    "first: a route is asked for a workflow for the first time; again: for the same one; changed: after a "
    "prompt was changed. all: the routes together, as a panel asks them after a change of the canvas.",
    "made: the workflow's stills and clips are there, copied from one that was rendered.",
]
_BLOCKER = """
import time
import comfy.model_management


class Blocker:
    INPUT_TYPES = classmethod(lambda cls: {"required": {}})
    IS_CHANGED = classmethod(lambda cls: float("nan"))
    RETURN_TYPES, OUTPUT_NODE, FUNCTION, CATEGORY = (), True, "wait", "benchmark"

    def wait(self):
        while True:
            comfy.model_management.throw_exception_if_processing_interrupted()
            time.sleep(0.05)


NODE_CLASS_MAPPINGS = {"Blocker": Blocker}
"""
"""A node that runs until it is interrupted, so that what is queued behind it waits."""
_Call = Callable[[], object]


def run(quick: bool = False) -> Report:
    """Workflows of 50 and 500 scenes, drafts and real ones; some minutes, `quick` (10 and 50) one."""
    sizes, progress = ((10, 50) if quick else SIZES), Progress()
    sections = [Section("Queueing"), Section("Routes")]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        place = Path(folder)
        make_models(place)
        blocker = place / "workspace" / "custom_nodes" / "blocker.py"
        blocker.parent.mkdir(parents=True)
        blocker.write_text(_BLOCKER)
        with Server(place / "workspace", place / "output", models=place, extra_flags=CPU_FLAGS) as server:
            for number in range(max(sizes)):
                path = server.workspace / "input" / f"0_scene_{number}.wav"
                write_voice(path, 0.3, 100 + number % 400)
            for profile in PROFILES:
                measured = []
                for count in sizes:
                    progress(f"{profile}, {count} scenes")
                    measured.append(_Story(server, profile, count).measured())
                for section, part in zip(sections, zip(*measured, strict=True), strict=True):
                    section.rows += _rows(profile, sizes, part)
    return Report("Large workflows on the canvas", sections, NOTES)


def _rows(
    profile: str, sizes: tuple[int, ...], part: tuple[Mapping[str, float], ...]
) -> list[dict[str, Cell]]:
    return [
        {
            "profile": profile,
            "what": what,
            **{f"{size} scenes": round(found[what]) for size, found in zip(sizes, part, strict=True)},
            "ratio": part[-1][what] / max(part[0][what], 1.0),
        }
        for what in part[0]
    ]


class _Story:
    """A workflow, and a server that is asked about it."""

    def __init__(self, server: Server, profile: str, count: int):
        self.server = server
        self.process = _comfyui(server.workspace)
        self.prompt = graph_of(count, profile=profile, title=f"{profile} {count} {uuid.uuid4().hex}").nodes
        self.workflow = uuid.uuid4().hex

    def measured(self) -> tuple[dict[str, float], dict[str, float]]:
        """Milliseconds of queueing, and of the routes."""
        routes = self._routes("")
        queueing = self._queueing()
        self._make_results()
        return queueing, routes | self._routes(", made")

    def _queueing(self) -> dict[str, float]:
        missing = copy.deepcopy(self.prompt)
        voice = next(node for node in missing.values() if node["class_type"] == "LoadAudio")
        voice["inputs"]["audio"] = "nowhere.wav"
        checked = {"story_studio": {"leave_out_failed": True}}
        ways = {
            "queue": (self.prompt, {}),
            "queue, checked": (self.prompt, checked),
            "queue, one missing": (missing, checked),
        }
        self._post("prompt", {"prompt": {"1": {"class_type": "Blocker", "inputs": {}}}})
        found = {
            what: min(self._queue(prompt, extra) for _ in range(3)) for what, (prompt, extra) in ways.items()
        }
        self._post("interrupt", {})
        return found

    def _queue(self, prompt: Mapping[str, Any], extra: Mapping[str, Any]) -> float:
        body = {"prompt": prompt, "extra_data": extra}
        taken = self._cost(lambda: self._post("prompt", body))
        self._post("queue", {"clear": True})
        return taken

    def _routes(self, state: str) -> dict[str, float]:
        found: dict[str, float] = {}
        for route in ROUTES:
            found[f"{route}{state}, first"] = self._cost(lambda route=route: self._ask(route))
            again = [self._cost(lambda route=route: self._ask(route)) for _ in "12"]
            found[f"{route}{state}, again"] = min(again)
        changed = next(node for node in self.prompt.values() if "seed" in node["inputs"])
        costs = []
        for _ in "12":
            changed["inputs"]["seed"] = uuid.uuid4().int % 2**32
            costs.append(self._cost(lambda: [self._ask(route) for route in ROUTES]))
        return found | {f"all{state}, changed": min(costs)}

    def _make_results(self) -> None:
        """Gives the workflow results, copied from those of a single scene."""
        made = graph_of(1, profile="draft", title=self.workflow)
        sent = self._post("prompt", {"prompt": made.nodes, "extra_data": {}})
        while not requests.get(f"{self.server.url}/history/{sent['prompt_id']}", timeout=60).json():
            time.sleep(0.1)
        for node, entry in self._ask("takes").items():
            kind = next(kind for kind in Kind if kind.node == self.prompt[node]["class_type"])
            folder = self.server.output / STORE / kind.folder
            source = next(path for path in folder.iterdir() if path.suffix == kind.suffix)
            place = folder / kind.file_name(str(self.prompt[node]["inputs"]["name"]), entry["own"])
            # Another workflow may have the same scene.
            if not place.exists():
                shutil.copyfile(source, place)

    def _ask(self, route: str) -> Any:
        body = {"prompt": self.prompt, "workflow_id": self.workflow, "workflow": self.workflow}
        return self._post(f"story_studio/{route}", body)

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        response = requests.post(f"{self.server.url}/{path}", json=body, timeout=600)
        response.raise_for_status()
        return response.json() if response.content else None

    def _cost(self, work: _Call) -> float:
        before = self._seconds()
        work()
        return 1000 * (self._seconds() - before)

    def _seconds(self) -> float:
        times = self.process.cpu_times()
        return times.user + times.system


def _comfyui(workspace: Path) -> psutil.Process:
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(workspace) in words and is_comfyui(words):
            return process
    raise RuntimeError(f"No ComfyUI runs in {workspace}.")
