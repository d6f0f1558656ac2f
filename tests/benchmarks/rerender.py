"""What a story costs when it is rendered for the first time, again, with a change, in another order."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from driver.cli import main
from driver.comfy.process import Server
from tests.studio import CPU_FLAGS, TINY_PACK
from tests.tiny_models import make_models
from tests.voices import write_voice

from .table import Progress, Report, Section

NOTES = [
    "One server, tiny weights, 64x64, 2 steps, 0.4 s of sound a scene. nodes: executed, of those in the "
    "graph. sampled: stills and clips.",
    "driver ms a scene: the command's own processor time (reading the story and its recordings, building the "
    "graph, following it, fetching and hashing the files), divided by the scenes. Goal: at most 50 ms.",
]


def run(quick: bool = False) -> Report:
    """Renders stories of several lengths four times each; five minutes on two slow cores, `quick` one."""
    progress, section = Progress(), Section("Renders")
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        _server(Path(folder)) as (server, records),
    ):
        for count in (3, 10) if quick else (3, 10, 30):
            story = Tale(Path(folder), count)
            for what, change in (
                ("first", lambda: None),
                ("unchanged", lambda: None),
                ("one prompt", story.another_prompt),
                ("reordered", story.another_order),
            ):
                change()
                progress(f"{count} scenes: {what}")
                section.rows.append({"scenes": count, "render": what, **story.render(server, records)})
    return Report("Rendering again", [section], NOTES)


@contextmanager
def _server(folder: Path) -> Iterator[tuple[Server, Path]]:
    make_models(folder / "models")
    (folder / "workspace" / "custom_nodes").mkdir(parents=True)
    (folder / "workspace" / "custom_nodes" / "tiny_pack").symlink_to(TINY_PACK, target_is_directory=True)
    records = folder / "samples"
    records.touch()
    os.environ["STORY_STUDIO_TEST_SAMPLES"] = str(records)
    with Server(
        folder / "workspace", folder / "output", models=folder / "models", extra_flags=CPU_FLAGS
    ) as server:
        yield server, records


class Tale:
    """A story of so many scenes, and its changes."""

    def __init__(self, folder: Path, count: int):
        self._path, self._name = folder / f"tale_{count}.yaml", f"tale_{count}"
        self._scenes: list[dict[str, Any]] = [
            {
                "id": f"scene_{number}",
                "prompt": f"Room {number} of {count}",
                "audio": write_voice(folder / f"{count}_{number}.wav", 0.4, 100 + number).name,
            }
            for number in range(count)
        ]

    def another_prompt(self) -> None:
        self._scenes[len(self._scenes) // 2]["prompt"] = "The roof"

    def another_order(self) -> None:
        self._scenes.reverse()

    def render(self, server: Server, records: Path) -> dict[str, Any]:
        """Renders it on this server; seconds, nodes and samplings."""
        video = {"sample_steps": 2, "resolution": "64x64"}
        story = {"project_id": self._name, "scenes": self._scenes, "image_settings": {"steps": 2}}
        self._path.write_text(yaml.safe_dump({**story, "video_settings": video}, sort_keys=False))
        sampled = len(records.read_text().splitlines())
        began, worked = time.monotonic(), time.process_time()
        status = main.main(
            ["render", str(self._path), "--server", server.url, "--output", str(server.output)]
        )
        seconds, worked = time.monotonic() - began, time.process_time() - worked
        if status:
            raise RuntimeError(f"The render failed: {server.log_tail()}")
        manifest = json.loads((server.output / self._name / "manifest.json").read_text())
        return {
            "nodes": f"{manifest['nodes']['executed']} of {manifest['nodes']['in_graph']}",
            "sampled": len(records.read_text().splitlines()) - sampled,
            "film": "reused" if manifest["film"]["reused"] else "made",
            "seconds": seconds,
            "driver ms a scene": 1000 * worked / len(self._scenes),
        }
