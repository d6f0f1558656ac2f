"""The node pack in another ComfyUI: linked, loaded, and removed without a trace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from driver.comfy.process import PACK
from driver.paths import COMFYUI
from tests.install.tools import ROOT, run

FLAGS = ("--cpu", "--quick-test-for-ci", "--disable-api-nodes", "--database-url", "sqlite:///:memory:")


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """Another ComfyUI: links to this one's files, with its own folders for models, inputs and outputs."""
    folder = tmp_path / "second"
    folder.mkdir()
    own = ("custom_nodes", "input", "models", "output", "temp", "user")
    for path in COMFYUI.iterdir():
        if path.name not in own:
            (folder / path.name).symlink_to(path)
    for name in own:
        (folder / name).mkdir()
    return folder


def tree(folder: Path) -> set[str]:
    """All files in a folder, except what ComfyUI itself writes: `input`, `user`, `temp`, and caches."""
    paths = {path.relative_to(folder) for path in folder.rglob("*")}
    return {str(path) for path in paths if not {"input", "user", "temp", "__pycache__"} & set(path.parts)}


def test_it_starts_with_the_pack_and_the_pack_is_removed_without_a_trace(second: Path) -> None:
    before, pack = tree(second), tree(PACK)
    done = run(ROOT / "install.sh", "--into", str(second))
    assert done.returncode == 0, done.stderr
    link = second / "custom_nodes" / "story_studio"
    started = subprocess.run(
        [sys.executable, "-B", str(second / "main.py"), "--base-directory", str(second), *FLAGS],
        capture_output=True,
        text=True,
        timeout=180,
    )
    log = started.stdout + started.stderr
    assert started.returncode == 0, log
    assert f" seconds: {link}\n" in log
    assert tree(PACK) == pack
    link.unlink()
    assert tree(second) == before


def test_help_says_how_to_uninstall() -> None:
    assert (
        "to uninstall it there: rm PATH/custom_nodes/story_studio"
        in run(ROOT / "install.sh", "--help").stdout
    )
