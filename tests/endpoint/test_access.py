"""Who may use the endpoint: keys, and what is demanded beyond loopback."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from driver.cli.commands import main
from driver.endpoint.access import Access
from driver.endpoint.client_api import ClientApi
from driver.endpoint.jobs import Jobs
from driver.endpoint.protocol import WorkerCounts
from driver.paths import ROOT

KEY = "a-key-of-one's-own"
NO_WORKERS = WorkerCounts(idle=0, initializing=1, ready=0, running=0, throttled=0, unhealthy=0)


def status(access: Access, headers: dict[str, str]) -> int:
    """The HTTP status of a request with these headers."""

    async def request() -> int:
        app = ClientApi("local", Jobs(), lambda: NO_WORKERS).app(access)
        async with (
            TestClient(TestServer(app)) as client,
            client.get("/v2/local/health", headers=headers) as it,
        ):
            assert (await it.json()).keys() == ({"jobs", "workers"} if it.status == 200 else {"error"})
            return it.status

    return asyncio.run(request())


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"Bearer {KEY}", 200),
        (f"bearer  {KEY}", 200),
        # RunPod's pages show it like this.
        (KEY, 200),
        ("", 401),
        ("Bearer", 401),
        (f"Bearer {KEY}x", 401),
        (f"Bearer {KEY[:-1]}", 401),
        (f"Basic {KEY}", 401),
        ("Bearer \u00e9", 401),
    ],
)
def test_the_key_is_checked(header: str, expected: int) -> None:
    assert status(Access("0.0.0.0", KEY), {"Authorization": header}) == expected


def test_a_name_of_another_machine_needs_a_key() -> None:
    named = {"Host": "studio.example.com"}
    assert status(Access("127.0.0.1", ""), named) == 403
    assert status(Access("127.0.0.1", KEY), {**named, "Authorization": f"Bearer {KEY}"}) == 200
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
        assert status(Access("127.0.0.1", ""), {"Host": host}) == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "studio.example.com"])
def test_beyond_loopback_a_key_is_demanded(
    host: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RUNPOD_API_KEY", raising=False)
    assert main(["endpoint", "--host", host, "--output", str(tmp_path), "--id", "no/id"]) == 1
    said = capsys.readouterr().err
    assert "RUNPOD_API_KEY" in said and host in said and "--id" in said


def test_the_image_demands_a_key_and_says_how_to_set_it(tmp_path: Path) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
    variables = {"SERVE_API_LOCALLY": "true", "WORK_DIR": str(tmp_path), "MODEL_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "runpod_handler.py"]
    done = subprocess.run(
        command, cwd=ROOT, env=plain | variables, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "-e RUNPOD_API_KEY=" in done.stderr
