"""What a scene costs in stories of different sizes: until the first still, in memory, and in the driver."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import websocket
import yaml

from driver.cli import main
from driver.comfy.process import Server
from story_studio.story.results import STORE, Kind
from tests.studio import CPU_FLAGS, is_comfyui
from tests.voices import write_voice

from .table import Cell, Progress, Report, Section

SIZES = (10, 50, 150, 500)
NOTES = [
    "Profile draft, 64x64, 0.3 s of sound a scene, a new server for each story.",
    "first still, all: the server's processor time, divided by the scenes; that to the first still is what a "
    "graph costs before it does anything. Goal for it: at 500 scenes at most 1.5 times that of 50.",
    "MB at first still, MB at most: the server's memory. Goal: below 1.5 GB at 500 scenes.",
    "driver: its own processor time (reading, building, following, fetching, hashing). Goal: at most 50 ms.",
    "socket: bytes of the server's messages.",
]


def run(quick: bool = False) -> Report:
    """Renders drafts of 10, 50, 150 and 500 scenes; ten minutes on two slow cores, `quick` (up to 50) one."""
    progress, section = Progress(), Section("By scene")
    for count in SIZES[:2] if quick else SIZES:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            section.rows.append(_measure(Path(folder), count, progress))
    return Report("Size of a story", [section], NOTES)


def _measure(folder: Path, count: int, progress: Progress) -> dict[str, Cell]:
    story = _write_story(folder, count)
    with (
        Server(folder / "workspace", folder / "output", models=folder, extra_flags=CPU_FLAGS) as server,
        _Watch(server) as watch,
        _counting_bytes() as received,
    ):
        progress(f"{count} scenes")
        began = time.process_time()
        status = main(["render", str(story), "--server", server.url, "--output", str(server.output)])
        driver = time.process_time() - began - watch.own_seconds
        if status:
            raise RuntimeError(f"The render failed: {server.log_tail()}")
        seconds = watch.cpu_seconds()
    return {
        "scenes": count,
        "first still, ms": 1000 * watch.first_still / count,
        "all, ms": 1000 * seconds / count,
        "MB at first still": watch.memory_then / 1e6,
        "MB at most": watch.memory_at_most / 1e6,
        "driver, ms": 1000 * driver / count,
        "socket, KB": sum(received) / 1e3 / count,
    }


def _write_story(folder: Path, count: int) -> Path:
    voices = [write_voice(folder / f"{number}.wav", 0.3, 100 + number % 400).name for number in range(count)]
    scenes = [
        {"id": f"scene_{number}", "prompt": f"Room {number} of the house", "audio": voice}
        for number, voice in enumerate(voices)
    ]
    story = {"project_id": "tale", "profile": "draft", "video_settings": {"resolution": "64x64"}}
    path = folder / "story.yaml"
    path.write_text(yaml.safe_dump({**story, "scenes": scenes}, sort_keys=False))
    return path


class _Watch:
    """Samples the server's memory, and its processor time when the first still is there.

    Attributes:
        first_still: seconds of the server's processor time that the first still took.
        memory_then: bytes of memory at that moment.
        memory_at_most: bytes.
        own_seconds: processor time of the sampling itself.
    """

    def __init__(self, server: Server):
        self._stills = server.output / STORE / Kind.STILL.folder
        self._process = _comfyui(server.workspace)
        self._before = self._seconds()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.first_still = self.memory_then = self.memory_at_most = self.own_seconds = 0.0

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def cpu_seconds(self) -> float:
        """Processor time of the server since the watch began."""
        return self._seconds() - self._before

    def _seconds(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def _sample(self) -> None:
        while not self._over.wait(0.05):
            memory = self._process.memory_info().rss
            self.memory_at_most = max(self.memory_at_most, memory)
            if not self.first_still and any(self._stills.glob("*.png")):
                self.first_still, self.memory_then = self.cpu_seconds(), memory
            self.own_seconds = time.thread_time()


def _comfyui(workspace: Path) -> psutil.Process:
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(workspace) in words and is_comfyui(words):
            return process
    raise RuntimeError(f"No ComfyUI runs in {workspace}.")


@contextmanager
def _counting_bytes() -> Iterator[list[int]]:
    """The sizes of all messages that the driver's sockets receive."""
    sizes: list[int] = []
    receive = websocket.WebSocket.recv_data

    def counted(self: websocket.WebSocket, *arguments: Any, **options: Any) -> tuple[int, bytes]:
        kind, data = receive(self, *arguments, **options)
        sizes.append(len(data))
        return kind, data

    websocket.WebSocket.recv_data = counted  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield sizes
    finally:
        websocket.WebSocket.recv_data = receive
