"""The local endpoint as a process, and what its users have beside it."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import requests
from prometheus_client.parser import text_string_to_metric_families

from driver.comfy.client import Comfy
from tests.studio import is_comfyui


class Local(NamedTuple):
    """The endpoint: its process, its address up to the id, and the folder of its files."""

    process: subprocess.Popen[str]
    base: str
    folder: Path

    @property
    def url(self) -> str:
        return f"{self.base}/v2/local"

    def get(self, path: str) -> dict[str, Any]:
        return requests.get(f"{self.url}/{path}", timeout=30).json()

    def post(self, path: str, body: Any = None) -> dict[str, Any]:
        return requests.post(f"{self.url}/{path}", json=body, timeout=120).json()

    def wait(self, job: str) -> dict[str, Any]:
        """The job once it has ended."""
        return wait_for(lambda: (state := self.get(f"status/{job}"))["status"] not in OPEN and state)

    def metric(self, name: str, **labels: str) -> float:
        text = requests.get(f"{self.base}/metrics", timeout=30).text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    def worker(self) -> psutil.Process:
        return next(
            child
            for child in psutil.Process(self.process.pid).children()
            if any(word.endswith("runpod_handler.py") for word in child.cmdline())
        )

    def comfy(self) -> Comfy:
        """The ComfyUI of the worker."""
        for process in self.worker().children(recursive=True):
            words = process.cmdline()
            if "--port" in words and is_comfyui(words):
                return Comfy(f"http://127.0.0.1:{words[words.index('--port') + 1]}")
        raise AssertionError("The worker has no ComfyUI.")


OPEN = ("IN_QUEUE", "IN_PROGRESS")


def wait_for(condition: Callable[[], Any]) -> Any:
    """Waits until a condition holds, and returns its value."""
    end = time.monotonic() + 120
    while not (value := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return value


def environment() -> dict[str, str]:
    """This process's, without what is for RunPod or a bucket."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("RUNPOD_", "BUCKET_"))}
    return plain | {"STORY_STUDIO_ALLOW_PRIVATE_ADDRESSES": "1"}


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


class Receiver(ThreadingHTTPServer):
    """Takes webhooks, the first of which it refuses."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receive)
        self.received: list[dict[str, Any]] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


class _Receive(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(json.loads(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass
