"""What happens when something breaks: the server dies or hangs, memory or disk runs out, a scene is refused.

A story that breaks its server has a server of its own, as a user has; its stills pass through a failing node.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from driver.cli import main
from driver.comfy import care, prompt
from driver.paths import ROOT
from driver.rendering.prepare import RenderPlan
from driver.terminal import FAILED, OK, PARTIAL
from story_studio.story.recipes import FOLDER
from tests.studio import TINY_PACK, Studio, is_comfyui

WriteStory = Callable[..., Path]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with the node that fails."""
    packs = tmp_path / "workspace" / "custom_nodes"
    packs.mkdir(parents=True)
    (packs / "tiny_pack").symlink_to(TINY_PACK, target_is_directory=True)
    return tmp_path / "workspace"


@pytest.fixture
def failing_story(write_story: WriteStory, tmp_path: Path) -> Callable[..., Path]:
    """Writes a draft story of two scenes; the still of the first fails in the way that its prompt names."""

    def write(trouble: str, **more: Any) -> Path:
        recipe = json.loads((FOLDER / "title_card_still.json").read_text())
        inputs = {"image": ["6", 0], "message": str(tmp_path / "happened"), "when": ["1", 0]}
        recipe["90"] = {"class_type": "TestRaise", "inputs": inputs}
        recipe["7"]["inputs"]["images"] = ["90", 0]
        (tmp_path / "own.json").write_text(json.dumps(recipe))
        path = write_story([0.5, 0.5], "draft", image_settings={"workflow": "own.json"}, **more)
        story = yaml.safe_load(path.read_text())
        story["scenes"][0]["prompt"] = trouble
        path.write_text(yaml.safe_dump(story))
        return path

    return write


def render(story: Path, workspace: Path, output: Path) -> int:
    return main(["render", str(story), "--workspace", str(workspace), "--output", str(output)])


def read_manifest(output: Path) -> dict[str, Any]:
    return json.loads((output / "tale" / "manifest.json").read_text())


def comfyui_of(workspace: Path) -> psutil.Process | None:
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(workspace) in words and is_comfyui(words):
            return process
    return None


@contextmanager
def small_disk(folder: Path, options: str = "rw") -> Iterator[Path]:
    """A disk of 2 MB in a folder."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size=2m,{options}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs permission to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_scene_that_kills_the_server_is_skipped(
    failing_story: Any, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = failing_story("die", film={"partial": True})
    assert render(story, workspace, tmp_path / "out") == PARTIAL
    manifest = read_manifest(tmp_path / "out")
    assert manifest["status"] == "partial"
    assert "It happened twice" in manifest["scenes"][0]["error"]
    assert manifest["scenes"][1]["clip"]["file"] == "scene_2_video.mp4"
    assert manifest["film"]
    assert capsys.readouterr().err.count("Restarting it") == 2


def test_after_memory_ran_out_the_server_frees_models_early(
    failing_story: Any,
    workspace: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Only the kernel counts its kills, and it is asked at each start and after each death.
    monkeypatch.setattr("driver.comfy.process.out_of_memory_kills", itertools.count().__next__)
    story = failing_story("die once")
    assert render(story, workspace, tmp_path / "out") == OK
    stderr = " ".join(capsys.readouterr().err.split())
    assert "ComfyUI was killed because memory ran out while working on scene_1." in stderr
    assert "From now on models are freed as early as possible" in stderr
    assert care.is_careful(workspace)
    (tmp_path / "happened").unlink()
    assert main(["takes", "--prune", "--output", str(tmp_path / "out")]) == OK
    again = failing_story("die once", seed=7)
    assert render(again, workspace, tmp_path / "out") == OK
    assert "Models were freed as early as possible already" in " ".join(capsys.readouterr().err.split())


def test_a_render_whose_server_always_dies_fails(
    failing_story: Any, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both scenes share one still, so neither of them alone is to blame."""
    path = failing_story("die")
    story = yaml.safe_load(path.read_text())
    for scene in story["scenes"]:
        scene |= {"prompt": "die", "seed": 1, "title": "The end"}
    path.write_text(yaml.safe_dump(story))
    store, manifest = tmp_path / "out" / "story_studio", tmp_path / "out" / "tale" / "manifest.json"
    for name in (f"stills/x.{'a' * 24}.png", f"films/x.{'b' * 24}.mp4", f"films/x.{'c' * 24}.mp4"):
        (store / name).parent.mkdir(exist_ok=True, parents=True)
        (store / name).touch()
    manifest.parent.mkdir()
    manifest.write_text(json.dumps({"scenes": [{"still": {"key": "a" * 24}}], "film": {"key": "b" * 24}}))
    assert render(path, workspace, tmp_path / "out") == FAILED
    stderr = " ".join(capsys.readouterr().err.split())
    assert stderr.count("Restarting it") == 3
    assert "while working on the graph, 4 times in a row; what is finished is kept." in stderr
    assert read_manifest(tmp_path / "out")["status"] == "failed"
    # A render that got nowhere does not make the last complete render's results unused.
    assert main(["takes", "--prune", "--output", str(tmp_path / "out")]) == OK
    assert sorted(path.name[2] for path in store.glob("*/x.*")) == ["a", "b"]


def test_a_server_that_hangs_logs_its_stacks_and_is_restarted(
    failing_story: Any,
    workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Long enough for a busy machine: the restarted server must not count as hung.
    monkeypatch.setattr(prompt, "QUIET_SECONDS", 15.0)
    assert render(failing_story("hang once"), workspace, tmp_path / "out") == OK
    assert "ComfyUI hung while working on scene_1" in " ".join(capsys.readouterr().err.split())
    log = (workspace / "server.log.1").read_text()
    assert "tiny_pack/__init__.py" in log
    # The thread that hangs is not ComfyUI's main thread.
    assert re.search(r"^Thread 0x", log, re.MULTILINE)
    assert "in run_until_complete" in log


@pytest.mark.parametrize(("trouble", "status"), [("starve once", OK), ("starve", PARTIAL)])
def test_a_scene_that_runs_out_of_memory_is_retried_once(
    trouble: str,
    status: int,
    failing_story: Any,
    studio: Studio,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert studio.render(failing_story(trouble), tmp_path / "out") == status
    assert capsys.readouterr().err.count("scene_1 ran out of memory: it is tried once more") == 1
    scenes = read_manifest(tmp_path / "out")["scenes"]
    assert ("error" in scenes[0]) == (status == PARTIAL)
    assert "clip" in scenes[1]


def test_a_scene_that_the_server_refuses_affects_no_other(
    failing_story: Any, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first scene's recording is gone from ComfyUI's input folder before the graph is submitted."""
    upload = RenderPlan.upload

    def lose(plan: RenderPlan, comfy: Any) -> None:
        upload(plan, comfy)
        (studio.server.workspace / "input" / str(plan.files["scene_1"].audio)).unlink()

    monkeypatch.setattr(RenderPlan, "upload", lose)
    assert studio.render(failing_story("a quiet room"), tmp_path / "out") == PARTIAL
    scenes = read_manifest(tmp_path / "out")["scenes"]
    assert "Invalid audio file" in scenes[0]["error"]
    assert "clip" in scenes[1]


def test_a_killed_driver_resumes(write_story: WriteStory, workspace: Path, tmp_path: Path) -> None:
    # The last one takes seconds, and the driver is killed after the first.
    story = write_story([0.5, 0.5, 8.0], "draft", video_settings={"resolution": "480p"})
    arguments = ["render", str(story), "--workspace", str(workspace), "--output", str(tmp_path / "out")]
    process = subprocess.Popen([sys.executable, "-m", "driver", *arguments], cwd=ROOT)
    first = tmp_path / "out" / "tale" / "scene_1_video.mp4"
    end = time.monotonic() + 120
    while not first.exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert first.exists()
    assert not (tmp_path / "out" / "tale" / "film.mp4").exists()
    while comfyui_of(workspace) and time.monotonic() < end:
        time.sleep(0.05)
    assert main(arguments) == OK
    scenes = read_manifest(tmp_path / "out")["scenes"]
    assert scenes[0]["clip"]["reused"]
    assert not scenes[2]["clip"]["reused"]


def test_a_server_that_dies_is_restarted_and_no_other_render_comes_between(
    failing_story: Any, workspace: Path, studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = failing_story("hang once")
    first = threading.Thread(target=render, args=(story, workspace, tmp_path / "out"))
    first.start()
    end = time.monotonic() + 120
    while not (tmp_path / "happened").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert render(story, tmp_path / "workspace", tmp_path / "out") == FAILED
    stderr = " ".join(capsys.readouterr().err.split())
    assert "Another render of tale writes to" in stderr
    process = comfyui_of(workspace)
    assert process
    os.kill(process.pid, signal.SIGKILL)
    first.join(120)
    stderr += " ".join(capsys.readouterr().err.split())
    assert "ComfyUI exited unexpectedly (killed by SIGKILL) while working on scene_1" in stderr
    assert "Restarting it (1 of 3): what is finished is kept." in stderr
    assert read_manifest(tmp_path / "out")["status"] == "complete"
    assert "killed by SIGKILL" in read_manifest(tmp_path / "out")["warnings"][0]
    # The node fails only once: an undisturbed render, from scratch, makes the same film.
    assert studio.render(story, tmp_path / "other") == OK
    assert not read_manifest(tmp_path / "other")["scenes"][0]["clip"]["reused"]
    films = [(tmp_path / name / "tale" / "film.mp4").read_bytes() for name in ("out", "other")]
    assert films[0] == films[1]


def test_two_stories_of_the_same_scenes_share_a_folder(write_story: WriteStory, tmp_path: Path) -> None:
    """Two commands at once, each with its own server, make the same stills and clips."""
    tale = write_story([0.5, 0.4], "draft").rename(tmp_path / "one.yaml")
    other = write_story([0.5, 0.4], "draft", project_id="other")
    arguments = ["--output", str(tmp_path / "out"), "--workspace"]
    commands = [
        ["render", str(story), *arguments, str(tmp_path / f"workspace_{story.stem}")]
        for story in (tale, other)
    ]
    running = [subprocess.Popen([sys.executable, "-m", "driver", *command], cwd=ROOT) for command in commands]
    assert [process.wait(120) for process in running] == [OK, OK]
    keys = []
    for project in ("tale", "other"):
        manifest = json.loads((tmp_path / "out" / project / "manifest.json").read_text())
        keys.append([scene["clip"]["key"] for scene in manifest["scenes"]])
    assert keys[0] == keys[1]
    # The slower command reused the other's results, or replaced them with identical ones.
    hidden = {path.name for path in (tmp_path / "out" / "story_studio").glob("*/.*")}
    assert hidden <= {".made_from.jsonl"}, "no file is left half written"


def test_a_folder_that_cannot_be_written_is_named_before_anything_starts(
    failing_story: Any, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert render(failing_story("a quiet room"), workspace, tmp_path / "file" / "out") == FAILED
    with small_disk(tmp_path / "disk", "ro"):
        assert render(failing_story("a quiet room"), workspace, tmp_path / "disk") == FAILED
    stderr = " ".join(capsys.readouterr().err.split())
    assert "cannot be written to (Not a directory): choose another folder with --output." in stderr
    assert "cannot be written to (Read-only file system): choose another folder with --output." in stderr
    assert not (workspace / "server.log").exists()


def test_a_full_disk_is_reported_and_nothing_is_lost(
    failing_story: Any, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        filler = disk / "filler"
        filler.write_bytes(bytes(2**21 - 150_000))
        story = failing_story("a quiet room")
        assert render(story, workspace, disk / "out") == FAILED
        stderr = " ".join(capsys.readouterr().err.split())
        assert "full" in stderr
        assert "same command again" in stderr
        filler.unlink()
        assert render(story, workspace, disk / "out") == OK


def test_the_clock_may_jump(
    failing_story: Any, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, jumps = time.time, iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: now() + (-1) ** next(jumps) * 86_400)
    assert render(failing_story("a quiet room"), workspace, tmp_path / "out") == OK
    # It includes none of the jumps, which are a day each.
    assert 0 < read_manifest(tmp_path / "out")["seconds"]["total"] < 43_200
