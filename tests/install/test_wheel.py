"""The project as a package: the wheel holds all of it, and its command works where there is no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from driver.paths import COMFYUI, ROOT

SOURCES = {"driver": "driver", "custom_nodes/story_studio": "story_studio"}
"""The folders of the checkout, by what they are called in the wheel."""


def pip(*words: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, because setuptools leaves a folder behind where it builds."""
    copy, wheels = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("wheels")
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for folder in SOURCES:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", wheels, copy)
    (built,) = wheels.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def story_studio(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, in an environment of its own that has the packages of this one, but not the project."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    pip("--python", folder / "bin" / "python", "install", "--no-deps", "--no-index", wheel)
    (site,) = folder.glob("lib/python3*/site-packages")
    # In a folder that a .pth file adds, other .pth files, such as the project's, are not read.
    (site / "packages.pth").write_text(sysconfig.get_paths()["purelib"])
    return folder / "bin" / "story-studio"


def run(command: Path, *words: str | Path, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COMFYUI"))}
    return subprocess.run(
        [command, *words], cwd=folder, env=clean | more, capture_output=True, text=True, timeout=300
    )


def test_the_wheel_holds_every_file(wheel: Path) -> None:
    files = {
        f"{name}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, name in SOURCES.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as file:
        held = {name for name in file.namelist() if ".dist-info/" not in name}
    assert held == files


def test_help_is_there(story_studio: Path, tmp_path: Path) -> None:
    done = run(story_studio, "--help", folder=tmp_path)
    assert done.returncode == 0 and "render stories into films" in done.stdout, done


def test_the_doctor_says_how_to_name_comfyui(story_studio: Path, tmp_path: Path) -> None:
    done = run(story_studio, "doctor", folder=tmp_path)
    assert done.returncode == 1, done
    assert f"not in {tmp_path / 'ComfyUI'}" in done.stdout
    assert "Set up ComfyUI and name its folder with COMFYUI_DIR." in done.stdout
    done = run(story_studio, "doctor", folder=tmp_path, COMFYUI_DIR=str(COMFYUI))
    assert done.returncode == 0, done
    assert "has all that the node pack uses of it" in done.stdout


def test_a_story_is_planned(story_studio: Path, tmp_path: Path) -> None:
    story = ROOT / "workflows" / "demo" / "story.yaml"
    done = run(story_studio, "render", story, "--profile", "draft", "--dry-run", folder=tmp_path)
    assert done.returncode == 0, done
    assert "the-keepers-light: 3 stills, 3 clips and 1 film would be made." in done.stdout


def test_no_link_is_needed() -> None:
    """ZIP downloads and Windows have none."""
    folders = [ROOT / name for name in ("custom_nodes", "driver", "tests", "workflows")]
    assert [path for folder in folders for path in folder.rglob("*") if path.is_symlink()] == []
