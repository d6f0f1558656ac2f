"""After memory ran out the servers of a workspace free models early, until there is more memory."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from driver.comfy.care import is_careful, remember
from driver.comfy.process import Server
from story_studio.story.memory import CAREFUL
from tests.comfy.workspaces import make_workspace, processes_of


def test_a_workspace_remembers_that_memory_ran_out(tmp_path: Path) -> None:
    assert not is_careful(tmp_path)
    path = remember(tmp_path)
    assert is_careful(tmp_path)
    path.unlink()
    assert not is_careful(tmp_path)


def test_more_memory_is_a_new_start(tmp_path: Path) -> None:
    path = remember(tmp_path)
    total = json.loads(path.read_text())["total_gb"]
    path.write_text(json.dumps({"total_gb": total / 2}))
    assert not is_careful(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"total_gb": "much"}', '{"total_gb": null}'])
def test_a_damaged_memory_is_none(tmp_path: Path, text: str) -> None:
    remember(tmp_path).write_text(text)
    assert not is_careful(tmp_path)


@pytest.mark.parametrize("careful", [False, True])
def test_the_server_is_started_accordingly(tmp_path: Path, careful: bool) -> None:
    workspace = make_workspace(tmp_path)
    if careful:
        remember(workspace)
    with Server(workspace, workspace / "output", extra_flags=["--cpu"]):
        process: psutil.Process = processes_of(workspace)[-1]
        words, environment = process.cmdline(), process.environ()
    assert (words[words.index("--cache-lru") + 1] == "1") == careful
    assert (CAREFUL in environment) == careful
