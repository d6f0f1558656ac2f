"""A real browser on the session's ComfyUI server, with its bundled interface and with a newer one."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import pytest
from playwright.sync_api import Browser

from driver.comfy.process import Server
from driver.paths import ROOT
from tests.studio import CPU_FLAGS, Studio
from tests.voices import write_voice
from tests.web.canvas import Canvas
from workflows.canvas import HOW, find_chromium, running_browser

NEWER = "1.58.1"
NEWER_SHA256 = "37912597537a731a8f421179618a736c24184c5bdbfa327f38b2fb7c291852d9"
_LOADING = r"Failed to load resource: the server responded with a status of 404 \(Not Found\) http://[^/]+"
STOCK_ERRORS = (
    rf"{_LOADING}/(api/userdata/)?user\.css",
    rf"{_LOADING}/(favicon\.ico|templates/index_logo\.json)",
    rf"{_LOADING}/api/(userdata|jobs)\b",
    # An example names a recording that the artist has yet to choose.
    rf"{_LOADING}/api/view\?\S*type=input",
    r"Failed to fetch queue: JobsApiError: |\[Jobs API\] Error fetching jobs: ",
    r"TypeError: Cannot read properties of undefined \(reading 'id'\)",
    # Interfaces from 1.48 on, when they start.
    r"ComfyApp graph accessed before initialization",
    # The tests' browser resolves no host but this machine.
    r".*https://|Error fetching file size",
)
"""Errors that ComfyUI without any node pack logs in the console, with either interface: seen with
`--disable-all-custom-nodes`, a workflow whose files are missing, and the template browser."""


def is_stock(error: str) -> bool:
    """Whether ComfyUI without this pack logs this error too."""
    return "story_studio" not in error and any(re.match(kind, error) for kind in STOCK_ERRORS)


def skip(reason: str) -> NoReturn:
    """Skips the test because this machine lacks something; the summary of the run gives the reason once."""
    pytest.skip(reason)


# Not for the whole session: while Playwright has a browser, asyncio.run fails in this thread.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The Chromium of these tests."""
    executable = find_chromium()
    if executable is None:
        skip(HOW)
    with running_browser(executable) as browser:
        yield browser


@pytest.fixture(scope="session")
def newer_frontend() -> Path:
    """The folder of a newer interface than ComfyUI 0.3.75's own, downloaded once per checkout."""
    folder = ROOT / "workspace" / f"frontend-{NEWER}"
    if not (folder / "index.html").is_file():
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
            wheels = Path(aside)
            wanted = wheels / "wanted.txt"
            wanted.write_text(f"comfyui-frontend-package=={NEWER} --hash=sha256:{NEWER_SHA256}\n")
            options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", wanted, "-d", wheels]
            done = subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", *options], capture_output=True, text=True
            )
            if done.returncode:
                skip(f"ComfyUI's interface {NEWER} could not be fetched: {done.stderr[-500:]}")
            with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
                wheel.extractall(wheels)
            # Another process of this run may have been faster.
            with suppress(OSError):
                (wheels / "comfyui_frontend_package" / "static").rename(folder)
    return folder


@pytest.fixture(scope="package")
def newer_studio(
    newer_frontend: Path, studio: Studio, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a server with the pack, the tiny models and the newer interface."""
    workspace = tmp_path_factory.mktemp("newer")
    tiny = studio.server.workspace / "custom_nodes" / "tiny_pack"
    (workspace / "custom_nodes").mkdir()
    (workspace / "custom_nodes" / "tiny_pack").symlink_to(tiny.resolve(), target_is_directory=True)
    flags = (*CPU_FLAGS, "--front-end-root", str(newer_frontend))
    with Server(workspace, workspace / "output", models=studio.server.models, extra_flags=flags) as server:
        yield server.url


@pytest.fixture(scope="package")
def pages(browser: Browser) -> Iterator[dict[str, Canvas]]:
    """The open pages by the address of their server."""
    pages: dict[str, Canvas] = {}
    yield pages
    for canvas in pages.values():
        canvas.close()


@pytest.fixture
def open_canvas(
    browser: Browser, pages: dict[str, Canvas], request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Canvas]]:
    """Opens ComfyUI at an address, as after its first start.

    A console error that stock ComfyUI does not log fails the test, and so does any warning of the pack.
    """
    opened: list[Canvas] = []

    def open_at(url: str) -> Canvas:
        name = request.node.name.removeprefix("test_")
        if url in pages:
            pages[url].begin(name)
        else:
            pages[url] = Canvas(browser, url, name)
        opened.append(pages[url])
        return pages[url]

    yield open_at
    for canvas in opened:
        canvas.park()
    errors = [error for canvas in opened for error in canvas.errors if not is_stock(error)]
    assert errors == [], "the browser's console has errors that stock ComfyUI does not log"
    warnings = [warning for canvas in opened for warning in canvas.warnings if "story_studio" in warning]
    assert warnings == [], "the browser's console has warnings of this pack"


@pytest.fixture
def canvas(open_canvas: Callable[[str], Canvas], studio: Studio) -> Canvas:
    """ComfyUI with the pack and tiny models, opened in the browser."""
    return open_canvas(studio.url)


@pytest.fixture
def newer_canvas(open_canvas: Callable[[str], Canvas], newer_studio: str) -> Canvas:
    """The same with the newer interface."""
    return open_canvas(newer_studio)


@pytest.fixture(params=["canvas", "newer_canvas"])
def artist(request: pytest.FixtureRequest) -> Canvas:
    """ComfyUI with its bundled interface and with a newer one."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice of 0.4 s."""
    return write_voice(tmp_path_factory.mktemp("voices") / "hello.wav", 0.4)


@pytest.fixture
def missing_models(studio: Studio, tmp_path: Path) -> Iterator[Callable[[set[str]], None]]:
    """Removes these model files from the servers, and restores them after the test."""
    folder = studio.server.models
    assert folder
    moved: dict[Path, Path] = {}

    def remove(files: set[str]) -> None:
        for path in [path for path in folder.rglob("*") if path.name in files]:
            moved[path] = path.rename(tmp_path / path.name)

    yield remove
    for path, aside in moved.items():
        aside.rename(path)
