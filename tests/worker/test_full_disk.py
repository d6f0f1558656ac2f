"""Jobs for which the disk is too small: room is made, or another worker is asked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from driver.comfy.client import Comfy
from driver.comfy.instance import ComfyInstance
from driver.comfy.process import Server
from driver.storage.folder import FolderStore
from driver.worker import sweep
from driver.worker.disk import Disk
from driver.worker.jobs import DISK_FULL, Worker
from driver.worker.retention import Limits
from driver.worker.sweep import Sweeper
from story_studio.story import recipes
from story_studio.story.results import STORE
from tests.studio import CPU_FLAGS, Studio
from tests.worker.tools import empty_image, save


def without_space(folder: Path, monkeypatch: pytest.MonkeyPatch, while_exists: Path) -> None:
    """Lets the draft's own recipe for stills fail as on a full disk while a file exists."""
    shutil.copytree(recipes.FOLDER, folder / "workflows")
    path = folder / "workflows" / "title_card_still.json"
    recipe = json.loads(path.read_text())
    inputs = {"image": ["6", 0], "message": str(while_exists), "when": "no space"}
    recipe["90"] = {"class_type": "TestRaise", "inputs": inputs}
    recipe["7"]["inputs"]["images"] = ["90", 0]
    path.write_text(json.dumps(recipe))
    monkeypatch.setattr(recipes, "FOLDER", folder / "workflows")


@pytest.mark.parametrize("removable", [True, False])
def test_a_full_disk_makes_room_or_asks_for_another_worker(
    studio: Studio, media: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removable: bool
) -> None:
    output, store = tmp_path / "output", FolderStore(tmp_path / "store")
    sweeper = Sweeper(Limits(), Disk(tmp_path / "workspace", output, store.folder), store)
    worker = Worker(ComfyInstance(studio.comfy), store, output, sweeper=sweeper)
    old = (output if removable else tmp_path) / "old.png"
    without_space(tmp_path, monkeypatch, old)
    scenes = [{"id": "one", "prompt": "A full disk", "audio": media["audio"]}]
    for number, job in enumerate(
        (
            {"task": "image", "profile": "draft", "prompt": "A full disk", "width": 64, "height": 64},
            {"task": "batch", "profile": "draft", "project_id": "full", "scenes": scenes},
        )
    ):
        old.parent.mkdir(exist_ok=True)
        old.write_bytes(b"x")
        os.utime(old, (1, 1))
        answer = worker.run(f"job-full-{number}-{removable}", job)
        assert old.exists() != removable
        if removable:
            assert not answer.get("error") and not answer.get("errors"), answer
            assert "refresh_worker" not in answer
        else:
            assert (answer["error"], answer["refresh_worker"]) == (DISK_FULL, True)


def test_a_client_that_quotes_the_message_of_a_full_disk_has_no_effect(
    studio: Studio, tmp_path: Path
) -> None:
    output, store = tmp_path / "output", FolderStore(tmp_path / "store")
    sweeper = Sweeper(Limits(), Disk(tmp_path / "workspace", output, store.folder), store)
    worker = Worker(ComfyInstance(studio.comfy), store, output, sweeper=sweeper)
    output.mkdir()
    (output / "old.png").write_bytes(b"x")
    answer = worker.run("job-quote", {"task": "[Errno 28] No space left on device"})
    assert "unknown task" in answer["error"] and "refresh_worker" not in answer
    assert (output / "old.png").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MB, where this user may mount one."""
    (folder := tmp_path / "small").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path, left: int) -> Path:
    """A file that leaves so many bytes of its file system free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(path.parent).free - left)
    os.utime(path, (1, 1))
    return path


def test_a_disk_that_is_really_full(
    small_disk: Path, media: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that the worker writes is on it, and its reserve is not noticed before the job."""
    monkeypatch.setattr(sweep, "_RESERVE_SHARE", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    monkeypatch.setenv("TMPDIR", str(small_disk))
    output, store = small_disk / "output", FolderStore(small_disk / "store")
    with Server(small_disk / "workspace", output, extra_flags=CPU_FLAGS) as server:
        sweeper = Sweeper(Limits(), Disk(server.workspace, output, store.folder), store)
        comfy = Comfy(server.url, server.alive, forget=True, touch=sweeper.touch_input)
        worker = Worker(ComfyInstance(comfy, server), store, output, sweeper=sweeper)
        scenes = [{"id": "one", "prompt": "A full disk", "audio": media["audio"], "image": media["image"]}]
        batch = {"task": "batch", "profile": "draft", "project_id": "full", "scenes": scenes, "film": True}
        workflow = {"1": empty_image(size=512), "2": save("full")}
        # Each amount is used up elsewhere: by an input, ComfyUI's results, the finished files, the store.
        for number, left in enumerate((0, 4096, 16384, 32768, 65536, 98304)):
            for kind, job in (("b", {**batch, "seed": number}), ("w", {"workflow": workflow})):
                old = fill(output / STORE / "stills" / f"s.{number:024x}.png", left)
                answer = worker.run(f"job-{kind}-{number}", job)
                assert not answer.get("error") and not answer.get("errors"), (left, answer)
                assert "refresh_worker" not in answer
                old.unlink(missing_ok=True)
        fill(small_disk / "filler", 4096)
        sweeper.make_room(False)
        fill(small_disk / "more", 4096)
        answer = worker.run("job-last", {**batch, "seed": 99})
        assert (answer["error"], answer["refresh_worker"]) == (DISK_FULL, True)
        assert server.alive()
        (small_disk / "filler").unlink()
        assert worker.run("job-last", {**batch, "seed": 99})["status"] == "complete"
