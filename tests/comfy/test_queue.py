"""Many jobs on one real server: one model at a time, each result to its own job, and only one cancelled."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from driver.cancel import Cancel, Cancelled
from driver.comfy.events import Event, Executing, Finished
from driver.comfy.queue import Router, needs
from story_studio.story.graph import Graph
from tests.benchmarks.loads import Jobs
from tests.studio import Studio
from tests.voices import write_voice


@pytest.fixture
def jobs(studio: Studio, tmp_path: Path) -> Jobs:
    return Jobs(studio.comfy, tmp_path)


def run(studio: Studio, router: Router, name: str, built: Graph, cancel: Cancel | None = None) -> list[Event]:
    with router.turn(name, *needs(built, studio.comfy), cancel):
        return list(studio.comfy.run(built.nodes))


def files_of(events: list[Event]) -> list[str]:
    end = events[-1]
    assert isinstance(end, Finished) and end.status == "success"
    return [item["filename"] for output in end.outputs.values() for item in output.get("images", [])]


def test_mixed_jobs_of_many_threads_swap_once(studio: Studio, jobs: Jobs) -> None:
    graphs = {f"still_{n}": jobs.still(n) for n in range(7000, 7006)}
    graphs |= {f"clip_{n}": jobs.clip(n) for n in range(7000, 7004)}
    names = list(graphs)
    random.Random(1).shuffle(names)
    router = Router()
    studio.loads()
    studio.samples()
    with ThreadPoolExecutor(len(names)) as pool:
        # No job has its turn before all are waiting, so that the router and not the pool chooses the order.
        with router.turn("gate", frozenset(), frozenset()):
            running = {name: pool.submit(run, studio, router, name, graphs[name]) for name in names}
            while not all(name in router._queue for name in names):
                threading.Event().wait(0.01)
        results = {name: future.result(120) for name, future in running.items()}
    for name, events in results.items():
        (file,) = files_of(events)
        assert file.startswith(f"{name}.")
    kinds = [sample["kind"] for sample in studio.samples()]
    assert len(kinds) == len(names)
    assert sum(before != after for before, after in pairwise(kinds)) == 1
    read = Counter(load["file"] for load in studio.loads())
    assert max(read.values(), default=0) <= 1


def test_a_waiting_and_a_running_job_are_cancelled_alone(studio: Studio, jobs: Jobs, tmp_path: Path) -> None:
    voice = write_voice(tmp_path / "long.wav", 40)
    long = jobs.clip(7100, studio.comfy.upload(voice, voice.name))
    router, begun = Router(), threading.Event()
    stop_running, stop_waiting = Cancel(), Cancel()

    def run_long() -> None:
        with router.turn("running", *needs(long, studio.comfy), stop_running):
            for event in studio.comfy.run(long.nodes, cancel=stop_running):
                if isinstance(event, Executing) and "TalkingVideo" in long.nodes[event.node]["class_type"]:
                    begun.set()

    with ThreadPoolExecutor(4) as pool:
        running = pool.submit(run_long)
        assert begun.wait(60)
        rest = {
            n: pool.submit(
                run, studio, router, f"after_{n}", jobs.still(n), stop_waiting if n == 7102 else None
            )
            for n in (7101, 7102, 7103)
        }
        while not all(f"after_{n}" in router._queue for n in rest):
            threading.Event().wait(0.01)
        stop_waiting.set()
        with pytest.raises(Cancelled):
            rest.pop(7102).result(60)
        assert not any(future.done() for future in (running, *rest.values()))
        stop_running.set()
        with pytest.raises(Cancelled):
            running.result(60)
        for number, future in rest.items():
            assert files_of(future.result(60))[0].startswith(f"still_{number}.")
