"""ComfyUI's interface in a real Chromium: the browser, and a page with a workflow on its canvas."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

SIZE = (1600, 900)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Without this it would depend on the machine's network what the interface finds, and when it gives up.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Queue.MaxHistoryItems": 8}
"""Without the first, the template browser covers the canvas of a fresh user."""
PATIENCE_MS = 120_000
"""How long a page may take for anything: it says that something is wrong, and nothing about speed."""
HOW = "No Chromium was found: install it (Debian: apt-get install chromium), or put one on PATH."


def find_chromium() -> str | None:
    """The path of this machine's Chromium, if it has one."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def running_browser(executable: str) -> Iterator[Browser]:
    """A Chromium without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Canvas:
    """A page of ComfyUI that is ready for a hand: its graph, and what its console said.

    Attributes:
        page: Playwright's page.
        errors: what the console called an error, and exceptions that nothing caught.
        warnings: what it called a warning, each with the address of the script that wrote it.
    """

    def __init__(self, browser: Browser, url: str):
        self.url = url
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.change_settings(SETTINGS)
        width, height = SIZE
        self.context = browser.new_context(viewport={"width": width, "height": height}, locale="en-US")
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error.stack or error}"))
        self.open()

    def open(self) -> None:
        """Loads ComfyUI and waits until it takes orders."""
        self.page.goto(self.url, wait_until="domcontentloaded")
        self.page.wait_for_function("() => window.app && window.app.extensionManager && window.app.graph")
        # The page restores the last workflow, or loads its own default one, after it is ready.
        self.page.wait_for_function("() => window.app.extensionManager.workflow?.activeWorkflow")
        self.page.wait_for_function("() => window.app.graph.nodes.length > 0")

    def change_settings(self, settings: dict[str, Any]) -> None:
        """Changes settings of ComfyUI's user; a page that is open sees them when it is opened again."""
        answer = requests.post(f"{self.url}/settings", json=settings, timeout=PATIENCE_MS / 1000)
        answer.raise_for_status()

    def close(self) -> None:
        """Closes the page."""
        self.context.close()

    def run_script(self, script: str, argument: Any = None) -> Any:
        """What a JavaScript function gives that is called in the page with one argument."""
        return self.page.evaluate(script, argument)

    def load(self, workflow: dict[str, Any]) -> None:
        """Puts a GUI workflow on the canvas."""
        self.run_script("workflow => window.app.loadGraphData(workflow)", workflow)

    def api_graph(self) -> dict[str, Any]:
        """The graph as *Export (API)* writes it."""
        return self.run_script("async () => (await window.app.graphToPrompt()).output")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "warning":
            self.warnings.append(f"{message.text} {message.location.get('url', '')}".strip())
        if message.type == "error":
            where = message.location.get("url", "") if "Failed to load resource" in message.text else ""
            self.errors.append(f"{message.text} {where}".strip())


def read_workflow(path: Path) -> dict[str, Any]:
    """A GUI workflow from its file."""
    return json.loads(path.read_text(encoding="utf-8"))
