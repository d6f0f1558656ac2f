"""A real browser on the session's ComfyUI server, with the interface that it brings and with a newer one."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from driver.files import ROOT
from driver.server import Server
from tests.browser.canvas import HOW, Canvas, find_chromium, running_browser
from tests.conftest import CPU_FLAGS, Studio, write_voice

NEWER = "1.58.1"
NEWER_SHA256 = "37912597537a731a8f421179618a736c24184c5bdbfa327f38b2fb7c291852d9"
UNFINISHED = {
    "nodes": [
        {"id": 1, "type": "LoadAudio", "pos": [0, 0], "widgets_values": ["missing.mp3", None, ""]},
        {"id": 2, "type": "LoadImage", "pos": [400, 0], "widgets_values": ["missing.png", "image"]},
    ],
    "links": [],
    "version": 0.4,
}
"""A stock workflow whose files are still to be chosen."""


def lacking(reason: str) -> None:
    """Skips the test, or fails it where CI is set."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The session's Chromium."""
    executable = find_chromium()
    if executable is None:
        lacking(HOW)
    with running_browser(str(executable)) as browser:
        yield browser


@pytest.fixture(scope="session")
def newer_frontend() -> Path:
    """The folder of a newer interface than the one that ComfyUI 0.3.75 brings, fetched once a checkout."""
    folder = ROOT / "workspace" / f"frontend-{NEWER}"
    if not (folder / "index.html").is_file():
        wheels = folder.with_suffix(".wheel")
        wheels.mkdir(parents=True, exist_ok=True)
        wanted = wheels / "wanted.txt"
        wanted.write_text(f"comfyui-frontend-package=={NEWER} --hash=sha256:{NEWER_SHA256}\n")
        options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", wanted, "-d", wheels]
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", *options], capture_output=True, text=True
        )
        if done.returncode:
            lacking(f"ComfyUI's interface {NEWER} could not be fetched: {done.stderr[-500:]}")
        aside = folder.with_suffix(".part")
        with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
            wheel.extractall(aside)
        (aside / "comfyui_frontend_package" / "static").rename(folder)
    return folder


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with the pack and no models."""
    workspace = tmp_path_factory.mktemp("bare")
    with Server(workspace, workspace / "output", extra_flags=("--cpu",)) as server:
        yield server.url


@pytest.fixture(scope="session")
def stock_errors(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """What the console calls an error in ComfyUI without any node pack, with files that are to be chosen."""
    return _errors_without_packs(browser, tmp_path_factory.mktemp("stock"))


@pytest.fixture(scope="session")
def newer_stock_errors(
    browser: Browser, newer_frontend: Path, tmp_path_factory: pytest.TempPathFactory
) -> frozenset[str]:
    """The same with the newer interface."""
    folder = tmp_path_factory.mktemp("newer_stock")
    return _errors_without_packs(browser, folder, "--front-end-root", str(newer_frontend))


def _errors_without_packs(browser: Browser, workspace: Path, *flags: str) -> frozenset[str]:
    flags = ("--cpu", "--disable-all-custom-nodes", *flags)
    with Server(workspace, workspace / "output", extra_flags=flags) as server:
        canvas = Canvas(browser, server.url, "stock")
        canvas.load(UNFINISHED)
        canvas.page.get_by_role("button", name="Templates").first.click()
        canvas.page.get_by_test_id("template-workflows-content").wait_for()
        canvas.page.wait_for_timeout(1000)
        canvas.close()
    return frozenset(canvas.errors)


@pytest.fixture
def open_canvas(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Canvas]]:
    """Opens ComfyUI at an address, `newer` where the server has the newer interface.

    An error in the console that stock ComfyUI does not give fails the test.
    """
    opened: list[tuple[Canvas, frozenset[str]]] = []

    def open_at(url: str, newer: bool = False) -> Canvas:
        stock = request.getfixturevalue("newer_stock_errors" if newer else "stock_errors")
        opened.append((Canvas(browser, url, request.node.name.removeprefix("test_")), stock))
        return opened[-1][0]

    yield open_at
    for canvas, _ in opened:
        canvas.close()
    errors = [error for canvas, stock in opened for error in canvas.errors if error not in stock]
    assert errors == [], "the browser's console has errors that stock ComfyUI does not give"


@pytest.fixture
def canvas(open_canvas: Callable[..., Canvas], studio: Studio) -> Canvas:
    """ComfyUI with the pack and tiny models, opened in the browser."""
    return open_canvas(studio.url)


@pytest.fixture
def newer_canvas(open_canvas: Callable[..., Canvas], newer_studio: str) -> Canvas:
    """The same with the newer interface."""
    return open_canvas(newer_studio, newer=True)


@pytest.fixture(scope="session")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice of 0.4 s."""
    return write_voice(tmp_path_factory.mktemp("voices") / "hello.wav", 0.4)
