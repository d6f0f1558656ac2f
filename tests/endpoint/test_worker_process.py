"""The worker as a child process, with scripts in its place that end as the test wants."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from driver.endpoint import worker_process
from driver.endpoint.worker_process import WorkerFailed, WorkerProcess
from driver.paths import ROOT

STAYS = "import time\nprint('here', flush=True)\ntime.sleep(600)"


class Observed:
    """A worker, and what it said and did."""

    def __init__(self, log: Path):
        self.lines: list[str] = []
        self.gone: list[tuple[str, str]] = []
        self.changed = asyncio.Event()
        self.process = WorkerProcess(lambda _: dict(os.environ), log, self._on_line, self._on_gone)

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await self.changed.wait()
                self.changed.clear()

    def _on_line(self, line: str) -> None:
        self.lines.append(line)
        self.changed.set()

    def _on_gone(self, worker: str, reason: str) -> None:
        self.gone.append((worker, reason))
        self.changed.set()


def observe(
    script: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: Callable[[Observed, asyncio.Task[None]], Awaitable[None]],
) -> None:
    """Runs steps with a worker that is this script, and ends it."""
    (folder / "handler.py").write_text(script)
    monkeypatch.setattr(worker_process, "HANDLER", folder / "handler.py")

    async def run() -> None:
        observed = Observed(folder / "worker.log")
        running = asyncio.create_task(observed.process.run())
        try:
            await steps(observed, running)
        finally:
            await observed.process.stop()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


def test_a_worker_that_does_not_start_ends_the_endpoint_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def steps(observed: Observed, running: asyncio.Task[None]) -> None:
        with pytest.raises(WorkerFailed, match="exit status 1.*worker.log:\nGPU: there is none"):
            await running

    observe("raise SystemExit('GPU: there is none')", tmp_path, monkeypatch, steps)


def test_a_worker_that_asks_for_it_is_replaced_and_takes_no_more_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def steps(observed: Observed, _: asyncio.Task[None]) -> None:
        process = observed.process
        await observed.wait_for(lambda: observed.lines == ["here"])
        assert process.state == "initializing"
        assert process.asked("local-1") and not process.asked("local-0") and process.state == "ready"
        process.replace("local-1")
        assert not process.asked("local-1")
        await observed.wait_for(lambda: observed.lines == ["here", "here"])
        assert observed.gone == [("local-1", "was replaced (killed by SIGTERM)")]
        assert process.asked("local-2") and process.restarts == {"died": 0, "replaced": 1}
        # The log of the one before is kept beside the new one.
        assert (tmp_path / "worker.log.1").read_text() == "here\n"

    observe(STAYS, tmp_path, monkeypatch, steps)


def test_a_worker_that_ignores_the_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "_GRACE_SECONDS", 0.1)
    script = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{STAYS}"
    children: list[psutil.Process] = []

    async def steps(observed: Observed, _: asyncio.Task[None]) -> None:
        await observed.wait_for(lambda: observed.lines == ["here"])
        # Not the session's server, which a test of this process may have started before.
        handler = str(tmp_path / "handler.py")
        children.extend(child for child in psutil.Process().children() if handler in child.cmdline())

    observe(script, tmp_path, monkeypatch, steps)
    assert len(children) == 1 and not children[0].is_running()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_it_ends_with_an_endpoint_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text(STAYS)
    endpoint = f"""
        import asyncio, os
        from pathlib import Path
        from driver.endpoint import worker_process
        worker_process.HANDLER = Path({str(tmp_path / "handler.py")!r})
        arguments = lambda _: dict(os.environ), Path({str(tmp_path / "worker.log")!r}), print, print
        asyncio.run(worker_process.WorkerProcess(*arguments).run())
    """
    command = [sys.executable, "-u", "-c", textwrap.dedent(endpoint)]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "here\n"
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert children and not alive
