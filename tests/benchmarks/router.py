"""Many jobs on one server: the model router against first in, first out."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from driver.comfy.queue import Files, JobQueue, Router, needs
from story_studio.story.graph import Graph
from tests.studio import Studio
from tests.tiny_models import make_models

from .loads import Jobs, finish, started
from .table import Cell, Progress, Report, Section

Kind = Literal["still", "clip", "story"]
PLURAL: dict[Kind, str] = {"still": "stills", "clip": "clips", "story": "stories"}
SHARES: dict[Kind, float] = {"still": 0.60, "clip": 0.35, "story": 0.05}
STILL, CLIP, SWAP, SCENES = 10, 120, 240, 10
SECONDS: dict[Kind, int] = {"still": STILL, "clip": CLIP, "story": SCENES * (STILL + CLIP) + SWAP}
"""How long a job works, with the times of the seed: a story of ten scenes swaps the models itself."""
MODELS: dict[Kind, tuple[Files, Files]] = {
    "still": (frozenset({"still"}), frozenset({"still"})),
    "clip": (frozenset({"clip"}), frozenset({"clip"})),
    "story": (frozenset({"still"}), frozenset({"clip"})),
}
MAX_WAIT, TINY_MAX_WAIT = 600, 15
GAP = 0.75
"""Mean seconds between two arrivals on the real server: it is never idle, and the queue stays short."""
LOADS = (0.3, 0.6, 0.8)
NOTES = [
    "Switches: how often the server changes between the model of stills and that of clips, also inside "
    "stories. On the real server: as its samplers record it.",
    "Wait: from arrival to the start of the job. Passed over: for how long, in all, later jobs worked while "
    "it waited. All in seconds.",
    f"Real server: tiny models, 64x64, 2 steps, stories of 2 scenes, a mean of {GAP} s between two jobs, "
    f"max_wait {TINY_MAX_WAIT} s. ComfyUI's default cache keeps only the last job's models, so that a switch "
    "reads files here as it fills a GPU's memory elsewhere; the other flags are the driver's.",
    f"Simulation: the router's own queue, with a simulated clock. Still {STILL} s, clip {CLIP} s, swap "
    f"{SWAP} s, story of {SCENES} scenes {SECONDS['story']} s; max_wait {MAX_WAIT} s; arrivals are Poisson. "
    "Load: work without the swaps between jobs, as a share of the time.",
    "Of the jobs " + ", ".join(f"{share:.0%} are {PLURAL[kind]}" for kind, share in SHARES.items()) + ".",
]


class Arrival(NamedTuple):
    """A job, and the second at which it arrives."""

    at: float
    kind: Kind


def run(quick: bool = False) -> Report:
    """Both measurements; some minutes on two slow cores."""
    progress = Progress()
    real = measure_server(16 if quick else 60, progress)
    simulated = measure_simulation(1_000 if quick else 10_000, progress)
    return Report("The model router against first in, first out", [real, simulated], NOTES)


def measure_server(count: int, progress: Progress) -> Section:
    """The same jobs at the same times, in either order, each on a fresh server."""
    section = Section(f"Real server, {count} jobs")
    arrivals = draw(count, GAP, seed=1)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        make_models(models := Path(folder) / "models")
        for order, max_wait in (("fifo", 0), ("router", TINY_MAX_WAIT)):
            progress(f"real server: {order}")
            with started(Path(folder) / order, models, "--cache-classic") as studio:
                section.rows.append({"": order, **serve(studio, arrivals, max_wait)})
    return section


def serve(studio: Studio, arrivals: list[Arrival], max_wait: float) -> dict[str, Cell]:
    """Submits every job from a thread of its own, as a back end does."""
    jobs, router = Jobs(studio.comfy, studio.server.workspace), Router(max_wait)
    make = {"still": jobs.still, "clip": jobs.clip, "story": lambda seed: jobs.stories(1, 2, seed)}
    graphs = [make[arrival.kind](number) for number, arrival in enumerate(arrivals)]
    wanted = [needs(graph, studio.comfy) for graph in graphs]
    # The first run of a server imports and compiles what all later ones use.
    for graph in (jobs.still(len(graphs)), jobs.clip(len(graphs))):
        finish(studio.comfy, graph)
    studio.loads()
    studio.samples()
    begun = time.monotonic()

    def act(number: int, arrival: Arrival, graph: Graph) -> float:
        time.sleep(max(0.0, begun + arrival.at - time.monotonic()))
        joined = time.monotonic()
        with router.turn(str(number), *wanted[number]):
            waited = time.monotonic() - joined
            finish(studio.comfy, graph)
        return waited

    with ThreadPoolExecutor(len(graphs)) as pool:
        waits = list(pool.map(act, range(len(graphs)), arrivals, graphs))
    total = time.monotonic() - begun
    kinds = [sample["kind"] for sample in studio.samples()]
    switches = sum(before != after for before, after in pairwise(kinds))
    waited = {"mean wait": statistics.mean(waits), "longest wait": max(waits)}
    return {"switches": switches, "files read": len(studio.loads()), **waited, "total": total}


def measure_simulation(count: int, progress: Progress) -> Section:
    """The same jobs at the same times, at loads that the server can and cannot handle."""
    section = Section(f"Simulation, {count} jobs")
    mean = sum(share * SECONDS[kind] for kind, share in SHARES.items())
    for load in LOADS:
        progress(f"simulation: load {load}")
        arrivals = draw(count, mean / load, seed=2)
        for order, max_wait in (("fifo", 0), ("router", MAX_WAIT)):
            section.rows.append({"load": str(load), "": order, **simulate(arrivals, max_wait)})
    return section


def simulate(arrivals: list[Arrival], max_wait: float) -> dict[str, Cell]:
    """Runs the jobs one after the other, in the order of the router's queue."""
    queue, now, arrived, switches, loaded = JobQueue(max_wait), 0.0, 0, 0, frozenset[str]()
    waiting: dict[int, float] = {}
    waits: list[float] = []
    passed_over = 0.0
    while len(waits) < len(arrivals):
        now = now if waiting else max(now, arrivals[arrived].at)
        while arrived < len(arrivals) and arrivals[arrived].at <= now:
            queue.join(str(arrived), *MODELS[arrivals[arrived].kind])
            waiting[arrived] = 0.0
            arrived += 1
        job = int(queue.next(now) or 0)
        passed_over = max(passed_over, waiting.pop(job))
        waits.append(now - arrivals[job].at)
        kind = arrivals[job].kind
        first, last = MODELS[kind]
        swapped = first != loaded
        seconds = SECONDS[kind] + SWAP * swapped
        switches += swapped + (first != last)
        loaded, now = last, now + seconds
        for older in waiting:
            if older > job:
                break
            waiting[older] += seconds
    row = {"mean wait": statistics.mean(waits), "95% wait": statistics.quantiles(waits, n=20)[-1]}
    row |= {"longest wait": max(waits), "longest passed over": passed_over, "total": now}
    return {"switches": switches, **{name: round(value) for name, value in row.items()}}


def draw(count: int, gap: float, seed: int) -> list[Arrival]:
    """Jobs of all kinds, `gap` seconds apart in the mean, at random."""
    chance, at, arrivals = random.Random(seed), 0.0, []
    for kind in chance.choices(list(SHARES), list(SHARES.values()), k=count):
        at += chance.expovariate(1 / gap)
        arrivals.append(Arrival(at, kind))
    return arrivals
