"""What the image's health check makes of a worker's reports, with a real ComfyUI that starts and ends."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from driver.comfy.process import Server
from driver.worker import health


def wait_for(file: Path, state: str) -> None:
    deadline = time.monotonic() + 60
    while not file.exists() or json.loads(file.read_text())["comfyui"] != state:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_comfyui_that_starts_and_one_that_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_EVERY", 0.05)
    server, file = Server(tmp_path / "workspace", tmp_path / "output"), health.report_file(tmp_path)
    server.start()
    with health.reporting(server, file):
        wait_for(file, "starting")
        assert health.check(file, time.monotonic()) == (
            True,
            "The worker is running, and its ComfyUI is starting.",
        )
        server.stop()
        wait_for(file, "ended")
        # The worker may be restarting it.
        assert health.check(file, time.monotonic())[0]
    assert not health.check(file, time.monotonic())[0]


@pytest.mark.parametrize(
    ("state", "age", "lasted", "healthy", "said"),
    [
        ("running", 2, 10**6, True, "ComfyUI answers"),
        # A machine that is very busy.
        ("running", 25, 10**6, True, "ComfyUI answers"),
        ("running", 31, 10**6, False, "hangs or is dead: its last report in "),
        # The machine was restarted.
        ("running", -500, 10, False, "hangs or is dead"),
        ("starting", 2, 200, True, "ComfyUI is starting"),
        ("starting", 2, 301, False, "does not answer, 301 s so far"),
        ("ended", 2, 45, True, "ComfyUI has ended"),
        ("ended", 2, 61, False, "ended and was not restarted, 61 s so far: see server.log"),
    ],
)
def test_what_a_report_means(
    state: str, age: float, lasted: float, healthy: bool, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "health.json"
    file.write_text(json.dumps({"time": 1000 - age, "comfyui": state, "since": 1000 - lasted}))
    found, sentence = health.check(file, 1000)
    assert (found, said in sentence) == (healthy, True)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"time": 1, "since": 1, "comfyui": "asleep"}'])
def test_an_unreadable_report_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "health.json").write_text(content)
    assert not health.check(tmp_path / "health.json", 2)[0]
