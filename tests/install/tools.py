"""What the tests of install.sh share."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


BASE_PYTHON = str(Path(sys.executable).resolve())


PINNED_HASH = re.compile(r"(?<=COMFYUI_SHA256=)\w+")


def run(
    script: Path,
    *args: str,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    user: int | None = None,
) -> subprocess.CompletedProcess[str]:
    theirs = ("COMFYUI_", "GIT_", "PIP_", "PYTHON")
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    return subprocess.run(
        [str(script), *args],
        env=quiet | {"PIP_CONFIG_FILE": os.devnull, "PYTHON": BASE_PYTHON} | (env or {}),
        cwd=cwd or script.parent,
        user=user,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The single sentence of its error."""
    assert done.returncode == 1, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("install.sh: ")
    return lines[0].removeprefix("install.sh: ")


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def checkout(folder: Path) -> Path:
    """A checkout of this project, with a driver and a node pack that do next to nothing."""
    for name in ("install.sh", "pyproject.toml", "constraints.txt", "LICENSE", "workflows/demo/story.yaml"):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    write(folder / "driver/__init__.py", "")
    write(
        folder / "driver/cli.py",
        "import os\nimport sys\nfrom pathlib import Path\n\n\n"
        "def main() -> None:\n"
        "    print('driver', *sys.argv[1:])\n"
        "    if sys.argv[1:2] == ['models']:\n"
        "        folder = Path(sys.argv[-1])\n"
        "        folder.mkdir(parents=True)\n"
        "        (folder / 'pulled').write_text(' '.join(sys.argv[1:]))\n"
        "        return\n"
        "    film = Path('output/the-keepers-light/film.mp4')\n"
        "    film.parent.mkdir(parents=True, exist_ok=True)\n"
        "    film.write_text('with ' + os.environ.get('COMFYUI_DIR', 'ComfyUI'))\n",
    )
    write(folder / "driver/__main__.py", "from driver.cli import main\n\nmain()\n")
    write(folder / "custom_nodes/story_studio/__init__.py", "")
    return folder


def comfyui_tree(folder: Path, version: str, needs: str = "tiny_comfy\n") -> Path:
    """What install.sh takes for a ComfyUI."""
    write(folder / "main.py", "")
    write(folder / "comfy/sd.py", "")
    write(folder / "comfyui_version.py", f'__version__ = "{version}"\n')
    write(folder / "requirements.txt", needs)
    return folder


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A real disk of that size."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder]
        if subprocess.run(mount, capture_output=True).returncode != 0:
            pytest.skip("no small disk can be mounted here")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def path_without(program: str, folder: Path) -> str:
    """A PATH with all of the system's programs except this one and those whose names begin with it."""
    folder.mkdir()
    for place in ("/bin", "/usr/bin"):
        for tool in Path(place).iterdir():
            if not tool.name.startswith(program) and not (folder / tool.name).exists():
                (folder / tool.name).symlink_to(tool)
    return str(folder)


def git(folder: Path, *args: str) -> str:
    """Runs git in a folder, whatever the user's own settings are."""
    if shutil.which("git") is None:
        pytest.skip("there is no git")
    identity = {
        f"GIT_{role}_{what}": "test" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    ours = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *args], cwd=folder, env=ours | identity | settings, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def wheel(
    folder: Path, name: str, version: str, files: dict[str, str | bytes], needs: Sequence[str] = ()
) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    about: dict[str, str | bytes] = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {need}\n" for need in needs),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as file:
        for inner, data in {**about, **files}.items():
            file.writestr(inner, data)
    return path


def setuptools_wheel(folder: Path) -> None:
    """The installed setuptools as a wheel again, so that the set-up below needs no network."""
    try:
        installed = distribution("setuptools")
    except PackageNotFoundError:
        pytest.skip("setuptools is not installed")
    if f"setuptools=={installed.version}\n" not in (ROOT / "constraints.txt").read_text():
        pytest.skip("setuptools is not the pinned one")
    files: dict[str, str | bytes] = {
        str(name): name.read_binary()
        for name in installed.files or []
        if name.parts[0].startswith(("setuptools", "pkg_resources", "_distutils_hack"))
        and "tests" not in name.parts
        and name.suffix != ".pyc"
        and name.name not in ("METADATA", "WHEEL", "RECORD", "INSTALLER", "REQUESTED")
    }
    wheel(folder, "setuptools", installed.version, files)


def versions(folder: Path) -> dict[str, str]:
    folders = folder.glob(".venv/lib/python3*/site-packages/*.dist-info")
    return dict(path.name.removesuffix(".dist-info").split("-", 1) for path in folders)


def packages(folder: Path) -> set[str]:
    return set(versions(folder))
