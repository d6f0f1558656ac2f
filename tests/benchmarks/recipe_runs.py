"""Runs of the shipped recipes on a server, and what each took."""

from __future__ import annotations

import itertools
import time
import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from driver.comfy.client import Comfy
from driver.comfy.errors import Stuck
from driver.comfy.events import Event, Failed, Progress
from driver.comfy.process import Server
from story_studio.s2v.timeline import CHUNK_FRAMES, FPS, LEAD_IN_FRAMES
from story_studio.story.graph import Graph, Owner
from story_studio.story.recipes import load_profile
from tests.voices import write_voice

CHUNKS = 2
"""The first chunk of a clip has no motion to continue; the second is like all later ones."""


class RunFailed(Exception):
    """ComfyUI failed, or a run was not finished in time."""


@dataclass(frozen=True)
class Clip:
    """What a clip of two chunks took, in seconds.

    Attributes:
        load: from submission to the end of the first step, less one step: models, prompts, voice and image.
        first_step, step: of the first chunk and of the second.
        chunk: the second one, from the end of the first.
    """

    load: float
    first_step: float
    step: float
    chunk: float


class Runs:
    """Runs of recipes at one size; each has another seed, so that nothing is cached but the models.

    Args:
        server: a running one.
        size: width and height, multiples of 64.
    """

    def __init__(self, server: Server, size: tuple[int, int]) -> None:
        self._server, self._comfy, self._size = server, Comfy(server.url, server.alive), size
        self._numbers = itertools.count(1)
        width, height = size
        shade = np.stack(np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height)), axis=-1)
        image = np.dstack([shade, np.full((height, width), 90.0)]).astype(np.uint8)
        Image.fromarray(image).save(server.workspace / "input" / "face.png")

    def free(self) -> None:
        """Has ComfyUI forget all models."""
        self._comfy.free()

    def still(self, profile: str, steps: int, seconds: float) -> float:
        """The seconds that a still takes, with so many steps, in at most so many. Raises RunFailed."""
        graph, number, owner = Graph(), next(self._numbers), Owner("still", None)
        values = self._values(number) | {"prompt": f"A lighthouse, {number}", "steps": steps}
        image = graph.add_recipe(owner, load_profile(profile).still, values)
        graph.add(owner, "Still", "StoryStudio_Still", image=image, name="still")
        return self._run(graph, seconds)[-1][0]

    def clip(self, profile: str, continuity: str, steps: int, seconds: float) -> Clip:
        """What a clip takes, with so many steps, in at most so many seconds. Raises RunFailed."""
        chosen = load_profile(profile)
        graph, number, owner = Graph(), next(self._numbers), Owner("clip", None)
        values = chosen.clip_settings | self._values(number) | {"steps": steps, "image": "face.png"}
        values |= {"prompt": f"A person speaks, {number}", "audio": self._voice(number)}
        video = graph.add_recipe(owner, chosen.clip, values)
        graph.nodes[video.node]["inputs"]["continuity"] = continuity
        graph.add(owner, "Clip", "StoryStudio_Clip", video=video, name="clip")
        # A chunk counts as its steps and one more, which is when its frames are written.
        marks = [0.0] * (CHUNKS * (steps + 1) + 1)
        for when, event in self._run(graph, seconds):
            if isinstance(event, Progress) and event.node == video.node and event.max == len(marks) - 1:
                marks[round(event.value)] = when
        if not all(marks[1:]):
            raise RunFailed("The progress of some steps was not reported.")
        first, second = marks[: steps + 2], marks[steps + 1 :]
        first_step, step = ((times[steps] - times[1]) / (steps - 1) for times in (first, second))
        return Clip(first[1] - first_step, first_step, step, second[-1] - second[0])

    def _values(self, number: int) -> dict[str, Any]:
        width, height = self._size
        return {"width": width, "height": height, "seed": number}

    def _voice(self, number: int) -> str:
        seconds = (CHUNKS * CHUNK_FRAMES - LEAD_IN_FRAMES) / FPS
        path = self._server.workspace / "input" / f"voice_{number}.wav"
        return write_voice(path, seconds, 100.0 + number).name

    def _run(self, graph: Graph, seconds: float) -> list[tuple[float, Event]]:
        """The events, each with the seconds since the graph was submitted."""
        prompt_id, began, events = str(uuid.uuid4()), time.monotonic(), []
        try:
            for event in self._comfy.run(graph.nodes, prompt_id=prompt_id, timeout=seconds):
                events.append((time.monotonic() - began, event))
        except Stuck as error:
            self._comfy.cancel(prompt_id)
            raise RunFailed(str(error)) from None
        for _, event in events:
            if isinstance(event, Failed):
                raise RunFailed(f"{event.class_type}: {event.message}")
        return events
