"""What install.sh refuses, in one sentence each, and linking the node pack elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.install.tools import BASE_PYTHON, checkout, path_without, refusal, run, small_disk, write


def test_help(copy: Path) -> None:
    done = run(copy / "install.sh", "--help")
    assert done.returncode == 0
    for command in (
        "demo",
        "test [ARG...]",
        "--comfyui REF",
        "--comfyui PATH",
        "--fetch [REF]",
        "--into PATH",
        "--help",
    ):
        assert f"./install.sh {command}" in done.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["dmeo"], "unknown argument: dmeo"),
        (["demo", "--fast"], "unknown argument after demo: --fast"),
        (["--into"], "--into takes one path"),
        (["--fetch", "0.3.75", "0.33.0"], "--fetch takes at most one tag"),
        (["--fetch", "--check"], "--fetch takes at most one tag"),
        (["--comfyui"], "--comfyui takes one tag, branch, commit or folder"),
        (["--comfyui", ""], "--comfyui takes one tag, branch, commit or folder"),
        (["--comfyui", "--check"], "--comfyui takes one tag, branch, commit or folder"),
    ],
)
def test_unknown_arguments_show_the_usage(copy: Path, args: list[str], message: str) -> None:
    done = run(copy / "install.sh", *args)
    assert done.returncode == 2
    assert done.stderr.startswith(f"install.sh: {message}")
    assert "./install.sh demo" in done.stderr
    assert not (copy / ".venv").exists()


def fake_python(folder: Path, version: str) -> str:
    """A `python3` that runs our probe as if it were another version."""
    body = f"#!{BASE_PYTHON}\nimport sys\nsys.argv.pop(0)\nsys.version_info = ({version})\nsys.argv.pop(0)\n"
    body += "sys.argv.insert(0, '-')\nexec(sys.stdin.read())\n"
    return str(write(folder / "python3", body, 0o755))


@pytest.mark.parametrize(("version", "word"), [("3, 8, 18", "old"), ("3, 99, 0", "new")])
def test_a_python_that_is_too_old_or_too_new(copy: Path, tmp_path: Path, version: str, word: str) -> None:
    error = refusal(run(copy / "install.sh", env={"PYTHON": fake_python(tmp_path / "bin", version)}))
    assert error.startswith("Python 3.11, 3.12 or 3.13 is needed, and ")
    assert f"{version.replace(', ', '.')}, which is too {word}" in error
    assert not (copy / ".venv").exists()


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("ensurepip", "cannot make virtual environments: install its venv package"),
        ("lzma", "was built without its module 'lzma'"),
    ],
)
def test_python_that_lacks_a_module(copy: Path, tmp_path: Path, module: str, message: str) -> None:
    write(tmp_path / "lacks" / f"{module}.py", "raise ImportError\n")
    body = f'#!/bin/sh\nPYTHONPATH="{tmp_path}/lacks" exec "{BASE_PYTHON}" "$@"\n'
    python = write(tmp_path / "bin/python3", body, 0o755)
    assert message in refusal(run(copy / "install.sh", env={"PYTHON": str(python)}))
    assert not (copy / ".venv").exists()


def test_no_python_at_all(copy: Path, tmp_path: Path) -> None:
    path = path_without("python", tmp_path / "tools")
    error = refusal(run(copy / "install.sh", env={"PATH": path, "PYTHON": ""}))
    assert error.startswith("Python 3.11, 3.12 or 3.13 is needed, and none was found: install one")


def test_too_little_disk_space() -> None:
    with small_disk(16) as disk:
        error = refusal(run(checkout(disk / "a check out") / "install.sh"))
    assert re.match(r"a first set-up needs \d+ GB of disk space and there are 0 GB free", error)


def test_too_little_disk_space_as_df_reports_it(copy: Path, tmp_path: Path) -> None:
    report = "Filesystem 1024-blocks Used Available Capacity Mounted on\\n/dev/x 100000000 0 5000000 1%% /"
    write(tmp_path / "bin/df", f"#!/bin/sh\nprintf '{report}\\n'\n", 0o755)
    error = refusal(run(copy / "install.sh", env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}))
    assert "there are 5 GB free" in error
    assert not (copy / ".venv").exists()


def test_a_read_only_disk() -> None:
    with small_disk(16) as disk:
        copy = checkout(disk / "a check out")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert f"may not write to {copy}" in refusal(run(copy / "install.sh"))


def test_a_checkout_of_someone_else() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        copy = checkout(Path(folder) / "a check out")
        root = os.geteuid() == 0
        if not root:
            copy.chmod(0o555)
        error = refusal(run(copy / "install.sh", user=65534 if root else None))
        copy.chmod(0o755)
    assert f"may not write to {copy}: run this as its owner, or in a copy of your own." in error


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    folder = tmp_path / "their ComfyUI"
    write(folder / "main.py", "")
    write(folder / "comfyui_version.py", '__version__ = "0.10.1"\n')
    write(folder / "comfy/sd.py", "")
    return folder


@pytest.mark.parametrize(
    "listed", ['["packaging>=20", "no-such-package"]', '[\n    "packaging>=20",\n    "no-such-package",\n]']
)
def test_into_links_the_pack_and_lists_what_it_needs(copy: Path, comfyui: Path, listed: str) -> None:
    project = f'[project]\ndependencies = {listed}\nkeywords = ["film"]\n'
    write(copy / "custom_nodes/story_studio/pyproject.toml", project)
    (comfyui / "venv/bin").mkdir(parents=True)
    python = write(comfyui / "venv/bin/python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', 0o755)
    link = comfyui / "custom_nodes/story_studio"

    # A path is relative to the caller's folder.
    done = run(copy / "install.sh", "--into", comfyui.name, cwd=comfyui.parent)
    assert done.returncode == 0, done
    assert link.resolve() == copy / "custom_nodes/story_studio"
    assert done.stdout.splitlines() == [
        f"Linked: {link} -> {copy}/custom_nodes/story_studio",
        "ComfyUI 0.10.1 shows the nodes after a restart. "
        "The node pack was run with 0.3.75, 0.11.0, 0.17.0, 0.18.1 and 0.33.0.",
        "The node pack needs these Python packages: packaging>=20 no-such-package",
        f"That ComfyUI's Python lacks some of them. To install: {python} -m pip install 'no-such-package'",
    ]
    again = run(copy / "install.sh", "--into", str(comfyui))
    assert again.stdout.startswith(f"The node pack is in that ComfyUI already: {link}\n")
    assert not (copy / ".venv").exists()


def test_into_overwrites_nothing(copy: Path, comfyui: Path) -> None:
    write(comfyui / "custom_nodes/story_studio/mine.py", "")
    assert "is not this node pack: move it away" in refusal(run(copy / "install.sh", "--into", str(comfyui)))


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ('"0.3.74"', "is 0.3.74, and the node pack needs 0.3.75 or later"),
        ('"0.2.99"', "is 0.2.99, and the node pack needs 0.3.75 or later"),
        ("unknown", "does not say its version"),
    ],
)
def test_into_an_old_comfyui(copy: Path, comfyui: Path, version: str, message: str) -> None:
    write(comfyui / "comfyui_version.py", f"__version__ = {version}\n")
    assert message in refusal(run(copy / "install.sh", "--into", str(comfyui)))
    assert not (comfyui / "custom_nodes").exists()


def test_into_a_folder_that_is_not_a_comfyui(copy: Path, comfyui: Path, tmp_path: Path) -> None:
    error = refusal(run(copy / "install.sh", "--into", str(tmp_path / "nowhere")))
    assert error.startswith(f"there is no folder {tmp_path}/nowhere")
    assert "give the folder with main.py" in refusal(run(copy / "install.sh", "--into", str(copy)))
    portable = tmp_path / "portable"
    portable.mkdir()
    comfyui.rename(portable / "ComfyUI")
    error = refusal(run(copy / "install.sh", "--into", str(portable)))
    assert error.endswith(f"the one in it may be meant: ./install.sh --into '{portable}/ComfyUI'")
