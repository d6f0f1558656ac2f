"""A real ComfyUI server with tiny models, as the tests use it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from driver.cli import main
from driver.comfy.client import Comfy
from driver.comfy.process import Server

TINY_PACK = Path(__file__).parent / "tiny_pack"
CPU_FLAGS = ("--cpu", "--bf16-vae", "--preview-method", "auto")
"""Tiny three-dimensional convolutions in 32 bits are five times slower on a CPU."""


def is_comfyui(command: Sequence[str]) -> bool:
    """Whether a process of this command is ComfyUI; that of its supervisor has the same words, but later."""
    return any(word.endswith("main.py") for word in command[:4])


class Studio:
    """A running server with tiny models, and a record of what it did."""

    def __init__(self, server: Server, records: Path):
        self.server, self.url, self.comfy = server, server.url, Comfy(server.url)
        self._records = records
        self._seen = {"loads": 0, "samples": 0}

    def loads(self) -> list[dict[str, Any]]:
        """The model files read from disk since the last call."""
        return self._new("loads")

    def samples(self) -> list[dict[str, Any]]:
        """The sampling runs since the last call."""
        return self._new("samples")

    def render(self, story: Path, output: Path, *more: str) -> int:
        """The command's exit status."""
        return main(["render", str(story), "--server", self.url, "--output", str(output), *more])

    def ended(self, prompt_id: str) -> dict[str, Any]:
        """The entry of a prompt in the history, once it has ended."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            history = requests.get(f"{self.url}/history/{prompt_id}", timeout=30).json()
            if history:
                return history[prompt_id]
            time.sleep(0.05)
        raise AssertionError(f"{prompt_id} has not ended")

    def _new(self, kind: str) -> list[dict[str, Any]]:
        path = self._records / kind
        lines = path.read_text().splitlines() if path.exists() else []
        new = lines[self._seen[kind] :]
        self._seen[kind] = len(lines)
        return [json.loads(line) for line in new]
