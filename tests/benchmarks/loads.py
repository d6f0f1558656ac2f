"""How often model files are read from disk, by stories and by single jobs.

ComfyUI itself reads the files; the test-only pack records it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from driver.comfy import models
from driver.comfy.client import Comfy
from driver.comfy.events import Failed, Finished
from driver.comfy.process import Server
from story_studio.story import graph, recipes
from story_studio.story.graph import Files, Graph, Owner
from story_studio.story.schema import parse
from tests.studio import CPU_FLAGS, TINY_PACK, Studio
from tests.tiny_models import make_models
from tests.voices import write_voice

from .table import Progress, Report, Section

PROFILE = "turbo"
SIZE, STEPS, VOICE_SECONDS = 64, 2, 0.4
NOTES = [
    f"Tiny models under the real names, profile {PROFILE}, {SIZE}x{SIZE}, {STEPS} steps; each case on a "
    "fresh server, with the driver's flags for this machine.",
    "Single jobs: a still, a clip, a still and so on, each submitted when the previous one has ended: the "
    "order that swaps models most often. ComfyUI's classic cache, its default before 0.23, is there to "
    "compare.",
    "Needed: the different files that the graphs name. Twice: reads of a file that had been read before; the "
    "goal is 0.",
]


def run(quick: bool = False) -> Report:
    """Counts the files that are read, in some minutes on two slow cores."""
    scenes, stories, few, singles = (3, 2, 2, 6) if quick else (10, 3, 3, 20)

    def alternating(jobs: Jobs) -> list[Graph]:
        return [(jobs.clip if number % 2 else jobs.still)(number) for number in range(singles)]

    cases = [
        Case(f"1 story of {scenes} scenes", lambda jobs: [jobs.stories(1, scenes)]),
        Case(f"{stories} stories of {few} scenes, one graph", lambda jobs: [jobs.stories(stories, few)]),
        Case(f"{singles} single jobs by turns", alternating),
        Case("the same with ComfyUI's classic cache", alternating, ("--cache-classic",)),
    ]
    section, progress = Section("Model files read from disk"), Progress()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        make_models(models_folder := Path(folder) / "models")
        for number, (title, build, flags) in enumerate(cases):
            progress(title)
            with started(Path(folder) / str(number), models_folder, *flags) as studio:
                built = build(Jobs(studio.comfy, studio.server.workspace))
                nodes = [node for job in built for node in job.nodes.values()]
                needed = {file for node in nodes for file in models.read_by(node, studio.comfy)}
                for job in built:
                    finish(studio.comfy, job)
                read = [load["file"] for load in studio.loads()]
            twice = len(read) - len(set(read))
            section.rows.append({"": title, "needed": len(needed), "read": len(read), "twice": twice})
    return Report("Is each model file read once?", [section], NOTES)


class Jobs:
    """Graphs of small jobs, each of its own seed, for a server that gets an image and a voice for them."""

    def __init__(self, comfy: Comfy, folder: Path) -> None:
        Image.new("RGB", (SIZE, SIZE), (90, 60, 30)).save(folder / "face.png")
        self._face = comfy.upload(folder / "face.png", "face.png")
        voice = write_voice(folder / "voice.wav", VOICE_SECONDS)
        self._voice = comfy.upload(voice, voice.name)
        self._profile = recipes.load_profile(PROFILE)
        self._sampling = {"width": SIZE, "height": SIZE, "steps": STEPS}

    def still(self, seed: int) -> Graph:
        """A single still, with the name `still_<seed>`."""
        built, owner = Graph(), Owner("still", None)
        values = {**self._profile.still_settings, **self._sampling, "seed": seed, "prompt": f"Picture {seed}"}
        image = built.add_recipe(owner, self._profile.still, values)
        built.add(owner, "still", "StoryStudio_Still", image=image, name=f"still_{seed}")
        return built

    def clip(self, seed: int, audio: str | None = None) -> Graph:
        """A single clip of the voice or of another uploaded recording, with the name `clip_<seed>`."""
        built, owner = Graph(), Owner("clip", None)
        files = {"image": self._face, "audio": audio or self._voice}
        values = {**self._profile.clip_settings, **self._sampling, **files, "seed": seed}
        video = built.add_recipe(owner, self._profile.clip, values)
        built.add(owner, "clip", "StoryStudio_Clip", video=video, name=f"clip_{seed}")
        return built

    def stories(self, count: int, scenes: int, seed: int = 0) -> Graph:
        """Several stories in one graph, with the names `story_<seed>_<number>`."""
        plans = []
        for number in range(count):
            data = {
                "project_id": f"story_{seed}_{number}",
                "profile": PROFILE,
                "seed": 1000 * seed + 100 * number,
                "scenes": [
                    {"id": f"s{scene}", "prompt": f"Scene {scene}", "audio": self._voice}
                    for scene in range(scenes)
                ],
                "image_settings": {"steps": STEPS},
                "video_settings": {"resolution": f"{SIZE}x{SIZE}", "sample_steps": STEPS},
            }
            story = parse(data)
            files = {scene.id: Files(self._voice, None) for scene in story.scenes}
            plans.append(graph.Plan(story, self._profile, files))
        return graph.build(plans)


class Case(NamedTuple):
    """Graphs that are submitted one after another, and extra flags of the server that they run on."""

    title: str
    build: Callable[[Jobs], list[Graph]]
    flags: tuple[str, ...] = ()


def finish(comfy: Comfy, built: Graph) -> Finished:
    """Runs a graph to its end.

    Raises:
        RuntimeError: ComfyUI failed; its message is in it.
    """
    failed = ""
    for event in comfy.run(built.nodes):
        if isinstance(event, Failed):
            failed = event.traceback + event.message
        elif isinstance(event, Finished) and event.status == "success":
            return event
    raise RuntimeError(failed or "The prompt was interrupted.")


@contextmanager
def started(workspace: Path, models_folder: Path, *flags: str) -> Iterator[Studio]:
    """A fresh server with the tiny models, and the test-only pack that loads them and records what it did."""
    (workspace / "custom_nodes").mkdir(parents=True)
    (workspace / "custom_nodes" / "tiny_pack").symlink_to(TINY_PACK, target_is_directory=True)
    os.environ["STORY_STUDIO_TEST_LOADS"] = str(workspace / "loads")
    os.environ["STORY_STUDIO_TEST_SAMPLES"] = str(workspace / "samples")
    server = Server(workspace, workspace / "output", models=models_folder, extra_flags=(*CPU_FLAGS, *flags))
    with server:
        yield Studio(server, workspace)
