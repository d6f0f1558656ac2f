"""What the tests share: one real ComfyUI server with tiny models, and stories for it."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings

from driver.comfy.process import Server
from tests.processes import (
    pytest_collection_modifyitems,
    pytest_xdist_auto_num_workers,
    pytest_xdist_make_scheduler,
)
from tests.studio import CPU_FLAGS, TINY_PACK, Studio
from tests.tiny_models import make_models
from tests.voices import write_voice

__all__ = ["pytest_collection_modifyitems", "pytest_xdist_auto_num_workers", "pytest_xdist_make_scheduler"]

# The time of an example means nothing where cores are shared.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")
# A shell starts its background jobs with SIGINT ignored, which the commands under test would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
# What is made until the tests are collected stays, and to visit it again and again takes a third of the time.
gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Collects garbage from here on, without a visit to what was there before."""
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says why the tests in a browser were not run, also where pytest is to be quiet."""
    skipped = [one for one in terminalreporter.stats.get("skipped", []) if "tests/web/" in one.nodeid]
    for reason in sorted({one.longrepr[2].removeprefix("Skipped: ") for one in skipped}):
        terminalreporter.section("not tested in a browser")
        terminalreporter.line(reason)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tiny models under the names of the real ones."""
    folder = tmp_path_factory.mktemp("models")
    make_models(folder)
    return folder


@pytest.fixture(scope="session")
def studio(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """The session's server: the shipped node pack and recipes, tiny models."""
    workspace, records = tmp_path_factory.mktemp("workspace"), tmp_path_factory.mktemp("records")
    (workspace / "custom_nodes").mkdir()
    (workspace / "custom_nodes" / "tiny_pack").symlink_to(TINY_PACK, target_is_directory=True)
    os.environ["STORY_STUDIO_TEST_LOADS"] = str(records / "loads")
    os.environ["STORY_STUDIO_TEST_SAMPLES"] = str(records / "samples")
    with Server(workspace, workspace / "output", models=models, extra_flags=CPU_FLAGS) as server:
        yield Studio(server, records)


@pytest.fixture
def write_story(tmp_path: Path):
    """Writes a story at a tiny resolution, with a voice of one of these lengths for each scene."""

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
