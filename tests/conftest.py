"""What the tests share: one real ComfyUI server with tiny models, and voices that are made here."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# PyTorch's threads would spin while they wait for each other, which is slow where cores are few and shared.
# Before anything loads PyTorch: it is read only then.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# isort: split
import av
import numpy as np
import pytest
import yaml
from hypothesis import settings

from driver.cli.main import main
from driver.comfy.client import Comfy
from driver.comfy.process import Server
from story_studio.story.recipes import FOLDER, Nodes, is_link
from tests.tiny_models import make_models

TINY_PACK = Path(__file__).parent / "tiny_pack"
# How long an example takes says nothing where cores are shared.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")
# A shell starts what runs in its background deaf to Ctrl-C, which the commands under test would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
CPU_FLAGS = ("--cpu", "--bf16-vae", "--preview-method", "auto")
"""Tiny three-dimensional convolutions in 32 bits are five times slower on a CPU."""


def renamed(nodes: Nodes, names: dict[str, str]) -> Nodes:
    """The nodes of an API workflow that have a name here, in that order, with it for their id."""
    done = {}
    for node_id, name in names.items():
        inputs = nodes[node_id]["inputs"]
        links = {entry: [names[one[0]], one[1]] for entry, one in inputs.items() if is_link(one)}
        done[name] = {**nodes[node_id], "inputs": inputs | links}
    return done


def read_titled(name: str) -> Nodes:
    """A shipped template whose nodes have their titles, without $, for ids."""
    nodes = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return renamed(nodes, {node_id: node["_meta"]["title"].lstrip("$") for node_id, node in nodes.items()})


def write_voice(path: Path, seconds: float, pitch: float = 140.0, rate: int = 16_000) -> Path:
    """A voice-like sound: a pitch with overtones, in syllables."""
    time = np.arange(round(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 6))
    sound = 0.3 * tone * np.clip(np.sin(2 * np.pi * 3 * time), 0, 1)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray((sound * 20_000).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = rate
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def is_comfyui(command: Sequence[str]) -> bool:
    """Whether a process of this command is ComfyUI; that of its supervisor has the same words, but later."""
    return any(word.endswith("main.py") for word in command[:4])


class Studio:
    """A running server with tiny models, and a record of what it did."""

    def __init__(self, server: Server, records: Path):
        self.server, self.url, self.comfy = server, server.url, Comfy(server.url)
        self._records = records
        self._seen = {"loads": 0, "samples": 0}

    def loads(self) -> list[dict[str, Any]]:
        """The model files read from disk since the last call."""
        return self._new("loads")

    def samples(self) -> list[dict[str, Any]]:
        """The sampling runs since the last call."""
        return self._new("samples")

    def render(self, story: Path, output: Path, *more: str) -> int:
        """The command's exit status."""
        return main(["render", str(story), "--server", self.url, "--output", str(output), *more])

    def _new(self, kind: str) -> list[dict[str, Any]]:
        path = self._records / kind
        lines = path.read_text().splitlines() if path.exists() else []
        new = lines[self._seen[kind] :]
        self._seen[kind] = len(lines)
        return [json.loads(line) for line in new]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tiny models under the names of the real ones."""
    folder = tmp_path_factory.mktemp("models")
    make_models(folder)
    return folder


@pytest.fixture(scope="session")
def studio(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """The session's server: the shipped node pack, the shipped templates, tiny models."""
    workspace, records = tmp_path_factory.mktemp("workspace"), tmp_path_factory.mktemp("records")
    (workspace / "custom_nodes").mkdir()
    (workspace / "custom_nodes" / "tiny_pack").symlink_to(TINY_PACK, target_is_directory=True)
    os.environ["STORY_STUDIO_TEST_LOADS"] = str(records / "loads")
    os.environ["STORY_STUDIO_TEST_SAMPLES"] = str(records / "samples")
    with Server(workspace, workspace / "output", models=models, extra_flags=CPU_FLAGS) as server:
        yield Studio(server, records)


@pytest.fixture
def write_story(tmp_path: Path):
    """Writes a story of tiny pictures, with a voice of the given length for each scene."""

    def write(seconds: list[float], profile: str = "standard", **more: Any) -> Path:
        steps = {"image_settings": {"steps": 2}, "video_settings": {"sample_steps": 2}}
        story: dict[str, Any] = {
            "project_id": "tale",
            "title": "A tale",
            "profile": profile,
            "scenes": [
                {
                    "id": f"scene_{number}",
                    "prompt": f"Scene {number}",
                    "text": f"This is said in scene {number}. And this after it.",
                    "audio": write_voice(tmp_path / f"voice_{number}.wav", length, 110 + 30 * number).name,
                }
                for number, length in enumerate(seconds, start=1)
            ],
            **(steps if profile != "draft" else {}),
        }
        for name, value in more.items():
            story[name] = {**story.get(name, {}), **value} if isinstance(value, dict) else value
        story.setdefault("video_settings", {}).setdefault("resolution", "64x64")
        path = tmp_path / "tale.yaml"
        path.write_text(yaml.safe_dump(story, sort_keys=False))
        return path

    return write
