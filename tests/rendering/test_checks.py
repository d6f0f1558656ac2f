"""Clips that are checked and made again: from the terminal to the manifest, and what a second run does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from driver.comfy.client import Comfy
from driver.comfy.connection import ComfyError
from driver.comfy.errors import Lost
from driver.comfy.instance import ComfyInstance
from driver.rendering.manifest import Manifest, read_manifest
from driver.rendering.progress import CHECK, ProgressTracker
from driver.storage.results import find_results
from driver.terminal import FAILED, INTERRUPTED, OK
from story_studio.story.check_graph import retake_seed
from story_studio.story.results import Kind
from tests.rendering.freezing import FREEZES, freezing_story
from tests.studio import Studio

Stop = Callable[[str, BaseException], None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checks")


def render(
    studio: Studio, story: Path, capfd: pytest.CaptureFixture[str], *more: str
) -> tuple[Manifest, str]:
    """The manifest and what the terminal showed."""
    assert studio.render(story, studio.server.output, *more) == OK
    shown = capfd.readouterr()
    manifest = read_manifest(studio.server.output / "freezing")
    assert manifest
    return manifest, shown.err + shown.out


def test_a_clip_that_fails_is_made_again(
    studio: Studio, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    story = freezing_story(folder)
    manifest, shown = render(studio, story, capfd)
    results, output = studio.server.output / "freezing", studio.server.output
    moves, freezes = manifest.scenes
    assert manifest.status == "complete" and manifest.film and manifest.seconds["checks"] > 0
    # The first take stands still, so the next seed is tried; nobody needs a third.
    assert moves.check and moves.check.verdict != "fail" and [take.seed for take in moves.takes] == [1]
    first, second = freezes.takes
    assert (first.verdict, first.seed, second.seed) == ("fail", FREEZES, retake_seed(FREEZES, 1))
    assert second.verdict != "fail" and "stands still" in first.reasons[0]
    assert "freezes passed its check after 1 retake: " + first.reasons[0] in shown
    assert "freezes, retake 1 of 2: " + first.reasons[0] in shown
    # What is kept is in the folder and in the film, with the check of this take; both takes stay.
    assert freezes.clip and freezes.clip.key == second.key and freezes.check
    assert freezes.check.key == second.check != first.check and not freezes.check.failures
    for take in freezes.takes:
        assert any(find_results(output, Kind.CLIP, take.key)) and take.key in set(manifest.keys())
        assert any(find_results(output, Kind.CHECK, take.check)) and take.check in set(manifest.keys())
    kept = next(find_results(output, Kind.CLIP, second.key)).read_bytes()
    assert (results / "freezes_video.mp4").read_bytes() == kept
    assert {f"{scene.id}_check.png" for scene in manifest.scenes} <= {path.name for path in results.iterdir()}


def test_a_second_run_makes_nothing_and_chooses_the_same(
    studio: Studio, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = read_manifest(studio.server.output / "freezing")
    story, server = folder / "story.yaml", studio.server
    assert studio.render(story, server.output, "--dry-run") == OK
    plan = capfd.readouterr().out.splitlines()
    assert "freezes retake 1: reused" in plan and "film: reused" in plan
    assert "freezing: 0 stills, 0 clips and 0 film would be made. 2 clips would be checked." in plan
    studio.comfy.free()
    files = {path: path.stat().st_mtime_ns for path in (server.output / "story_studio").rglob("*.*")}
    manifest, _ = render(studio, story, capfd)
    assert before and manifest.film and manifest.film.reused
    for scene, earlier in zip(manifest.scenes, before.scenes, strict=True):
        assert scene.clip and scene.clip.reused and scene.check and scene.check.reused
        assert [take.reused for take in scene.takes] == [True] * len(earlier.takes)
        assert [take.key for take in scene.takes] == [take.key for take in earlier.takes]
    assert files == {path: path.stat().st_mtime_ns for path in (server.output / "story_studio").rglob("*.*")}


def test_takes_say_how_they_did(studio: Studio, capfd: pytest.CaptureFixture[str]) -> None:
    from driver.cli import main

    assert main(["takes", "--output", str(studio.server.output)]) == OK
    lines = [line for line in capfd.readouterr().out.splitlines() if "freezing_freezes" in line]
    clips = [line for line in lines if line.startswith("clip")]
    assert len(clips) == 2 and all("used by freezing" in line for line in lines)
    assert ["failed its check: the image stands still" in line for line in clips] == [True, False]


def test_the_best_of_takes_that_all_fail_is_kept(
    studio: Studio, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seeds = " ".join(str(seed) for seed in (FREEZES, retake_seed(FREEZES, 1)))
    story = freezing_story(tmp_path, seeds, project_id="freezing", quality={"retakes": 1})
    assert studio.render(story, studio.server.output, "--dry-run") == OK
    assert "at most 2 retakes would be made" in capfd.readouterr().out
    manifest, shown = render(studio, story, capfd)
    freezes = manifest.scenes[1]
    assert [take.verdict for take in freezes.takes] == ["fail", "fail"] and freezes.clip
    assert freezes.clip.key in [take.key for take in freezes.takes]
    assert "freezes failed its check: the image stands still" in shown
    assert "; the best of 2 takes is kept (freezes_check.png)." in shown


def test_a_retake_that_cannot_be_made_does_not_cost_the_clip(
    studio: Studio, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    story = freezing_story(tmp_path, f"{FREEZES} -{retake_seed(FREEZES, 1)}")
    manifest, shown = render(studio, story, capfd)
    freezes = manifest.scenes[1]
    assert manifest.status == "complete" and freezes.clip and freezes.error is None
    assert freezes.check and freezes.check.verdict == "fail"
    assert [take.key for take in freezes.takes] == [freezes.clip.key]
    assert "freezes: retake 1 was given up, earlier takes stay: no such seed" in " ".join(manifest.warnings)
    assert "freezes failed its check: the image stands still" in shown


def test_without_retakes_a_check_only_says_what_is_wrong(
    studio: Studio, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = (folder / "story.yaml").read_text()
    path = folder / "checked.yaml"
    path.write_text(text.replace("retakes: 2", "retakes: 0"))
    manifest, shown = render(studio, path, capfd)
    freezes = manifest.scenes[1]
    assert freezes.check and freezes.check.verdict == "fail" and not freezes.takes
    assert freezes.clip and freezes.clip.reused
    assert "freezes failed its check: the image stands still" in shown
    path.write_text(text.replace("retakes: 2", "check: false"))
    manifest, shown = render(studio, path, capfd)
    assert not any(scene.check for scene in manifest.scenes) and "check" not in shown


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Stop:
    """Raises an error whenever the scene `freezes` gets to its check, or to a retake."""

    def stop(at: str, error: BaseException) -> None:
        executing = ProgressTracker.executing

        def observe(self: ProgressTracker, node: str) -> None:
            executing(self, node)
            checks = [check for scene, check in self._graph.checks.items() if scene.scene == "freezes"]
            if node in checks if at == CHECK else self.number_of_retake(node):
                raise error

        monkeypatch.setattr(ProgressTracker, "executing", observe)

    def restart(self: ComfyInstance, error: ComfyError, what: str, starts: int, prompt_id: str = "") -> str:
        self.comfy.cancel(prompt_id)
        self.comfy.free()
        return f"ComfyUI ended ({error}) while working on {what}."

    # The session's server has not really ended, and forgets as one that has.
    monkeypatch.setattr(ComfyInstance, "restart", restart)
    return stop


def test_a_render_that_is_stopped_in_a_retake_keeps_the_clip(
    studio: Studio, tmp_path: Path, stopped: Stop, capfd: pytest.CaptureFixture[str]
) -> None:
    story = freezing_story(tmp_path, f"{FREEZES} 98", project_id="stopped")
    stopped("retake", KeyboardInterrupt())
    assert studio.render(story, studio.server.output) == INTERRUPTED
    manifest = read_manifest(studio.server.output / "stopped")
    assert manifest and manifest.status == "partial" and "Stopped" in capfd.readouterr().err
    freezes = manifest.scenes[1]
    assert freezes.clip and freezes.clip.key and not freezes.clip.reused
    assert (studio.server.output / "stopped" / freezes.clip.file).is_file()


@pytest.mark.parametrize("at", ["retake", CHECK])
def test_a_server_that_dies_in_a_check_or_a_retake_does_not_cost_the_clip(
    at: str, studio: Studio, tmp_path: Path, stopped: Stop, capfd: pytest.CaptureFixture[str]
) -> None:
    # The server goes on all the same, so the retake must not come to its end.
    story = freezing_story(tmp_path, f"{FREEZES} -{retake_seed(FREEZES, 1)} {len(at)}")
    stopped(at, Lost("killed"))
    manifest, shown = render(studio, story, capfd)
    freezes = manifest.scenes[1]
    assert manifest.status == "complete" and manifest.film and freezes.clip and freezes.error is None
    what = "its clip was not checked" if at == CHECK else "retake 1 was given up, earlier takes stay"
    given_up = f"freezes: {what}: ComfyUI ended (killed) while working on freezes. It happened twice"
    assert given_up in " ".join(manifest.warnings) and given_up in " ".join(shown.split())
    assert (freezes.check is None) == (at == CHECK)


def test_a_server_with_an_older_node_pack_checks_nothing_and_says_so(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    known = Comfy.object_info

    def older(self: Comfy, refresh: bool = False) -> dict[str, Any]:
        return {name: about for name, about in known(self, refresh).items() if name != Kind.CHECK.node}

    monkeypatch.setattr(Comfy, "object_info", older)
    # Retakes are asked for.
    assert studio.render(freezing_story(tmp_path), studio.server.output) == FAILED
    assert "has no node StoryStudio_CheckClip" in capfd.readouterr().err
    manifest, shown = render(studio, freezing_story(tmp_path, quality={"retakes": 0}), capfd)
    assert manifest.status == "complete" and not any(scene.check for scene in manifest.scenes)
    assert shown.count("The server's node pack is older and checks no clips: install the node pack") == 1


def test_a_manifest_keeps_its_takes_and_reads_a_strange_check(tmp_path: Path) -> None:
    takes = [{"key": "a" * 24, "check": "b" * 24, "verdict": "fail"}, {"key": "c" * 24, "verdict": "unheard"}]
    check = {"key": "d" * 24, "verdict": "pass", "figures": {"fps": "many"}}
    data: dict[str, Any] = {"scenes": [{"id": "one", "takes": takes, "check": check}]}
    (tmp_path / "manifest.json").write_text(json.dumps(data))
    manifest = read_manifest(tmp_path)
    assert manifest and set(manifest.keys()) == {key * 24 for key in "abcd"}
