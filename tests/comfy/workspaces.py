"""Workspaces of ComfyUI processes, and the processes that work in them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil


def make_workspace(folder: Path) -> Path:
    """A workspace with an empty node pack, because these tests concern only the process."""
    pack = folder / "custom_nodes" / "story_studio"
    pack.mkdir(parents=True)
    (pack / "__init__.py").write_text("NODE_CLASS_MAPPINGS = {}\n")
    return folder


def processes_of(workspace: Path) -> list[psutil.Process]:
    """ComfyUI and its supervisor, by the workspace in their command."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(workspace) in (process.info["cmdline"] or []) and process.pid != os.getpid()
    ]


def gone(workspace: Path, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while processes_of(workspace) and time.monotonic() < end:
        time.sleep(0.05)
    return not processes_of(workspace)
