"""The shipped worker as a child process that is started again when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from ..comfy.lifetime import ends_with_this_process
from ..paths import ROOT

HANDLER = ROOT / "runpod_handler.py"
_GRACE_SECONDS = 12.0
"""How long the worker, and with it ComfyUI, may take to end before it is killed."""
_LEAVING_SECONDS = 60.0
"""The same where the worker has asked to be replaced, and may still finish other jobs."""
_MAX_FAILED_STARTS = 3
_LOG_BYTES = 16 * 2**20

logger = logging.getLogger(__name__)


class WorkerFailed(Exception):
    """The worker does not start. The message has the end of its log."""


class WorkerProcess:
    """One worker at a time.

    Args:
        environment: the variables for the worker with this id.
        log: the file for what it prints; the one before it is kept beside it.
        on_line: called with each line that it prints.
        on_gone: called with a worker's id and the reason as soon as it has ended.

    Attributes:
        id: of the current worker.
        state: "initializing" until the worker asks for jobs, then "ready"; "leaving" while it ends.
        restarts: how often it was started again, by reason: "died" or "replaced".
    """

    def __init__(
        self,
        environment: Callable[[str], dict[str, str]],
        log: Path,
        on_line: Callable[[str], None],
        on_gone: Callable[[str, str], None],
    ):
        self._environment, self._on_gone = environment, on_gone
        self._log = _Log(log, on_line)
        self._process: asyncio.subprocess.Process | None = None
        self._starts = 0
        self._replaced = self._stopping = False
        self.id, self.state = "", "initializing"
        self.restarts = {"died": 0, "replaced": 0}

    async def run(self) -> None:
        """Keeps a worker running until `stop`. Raises WorkerFailed."""
        failed = 0
        while not self._stopping:
            status = await self._run_one()
            if self._stopping:
                return
            served = self.state != "initializing"
            failed = 0 if served else failed + 1
            reason = "replaced" if self._replaced else "died"
            how = f"{'was ' * self._replaced}{reason} ({_ending(status)})"
            self._on_gone(self.id, how)
            # A first start that fails is a matter of the set-up, and another one would fail as well.
            if failed and (self._starts == 1 or failed >= _MAX_FAILED_STARTS):
                raise WorkerFailed(
                    f"The worker does not start ({_ending(status)}). The end of {self._log.path}:\n"
                    f"{self._log.tail()}"
                )
            self.restarts[reason] += 1
            logger.warning("The worker %s %s; starting another", self.id, how)
            await asyncio.sleep(1)

    def asked(self, worker: str) -> bool:
        """A worker asks for jobs; whether it may have some."""
        if worker == self.id and self.state == "initializing":
            self.state = "ready"
        return worker == self.id and self.state == "ready"

    def replace(self, worker: str) -> None:
        """Ends a worker, after the jobs that it is doing, and starts another."""
        if worker == self.id and self.state == "ready":
            self.state, self._replaced = "leaving", True
            self._signal(signal.SIGTERM)
            asyncio.get_running_loop().call_later(_LEAVING_SECONDS, self._kill, self._process)

    async def stop(self) -> None:
        """Ends the worker and all that it started, within about 15 s."""
        self._stopping, self.state = True, "leaving"
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _GRACE_SECONDS)
        self._kill(process)
        await process.wait()

    async def _run_one(self) -> int:
        self._starts += 1
        self.id, self.state, self._replaced = f"local-{self._starts}", "initializing", False
        self._log.begin()
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-u",
            str(HANDLER),
            cwd=ROOT,
            env=self._environment(self.id),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Ctrl-C in a terminal is for the endpoint, which ends the worker's jobs first.
            start_new_session=True,
            preexec_fn=ends_with_this_process(),
        )
        assert process.stdout
        reading = asyncio.create_task(self._log.read(process.stdout))
        try:
            status = await process.wait()
            # What it started may hold its output open.
            await asyncio.wait([reading], timeout=2)
            return status
        finally:
            reading.cancel()
            # Nothing of the group stays, also where the process itself has ended.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _kill(self, process: asyncio.subprocess.Process | None) -> None:
        if process and process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


class _Log:
    """A worker's output in a file of limited size."""

    def __init__(self, path: Path, on_line: Callable[[str], None]):
        self.path, self._on_line = path, on_line
        self._size = 0
        self._last: deque[str] = deque(maxlen=20)

    def begin(self) -> None:
        """Keeps what is there beside a new file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.path.replace(self.path.with_suffix(".log.1"))
        self.path.touch()
        self._size = 0
        self._last.clear()

    async def read(self, pipe: asyncio.StreamReader) -> None:
        """Takes lines until the end."""
        rest = b""
        while block := await pipe.read(2**16):
            *lines, rest = (rest + block).split(b"\n")
            self._write(lines)
            rest = rest[-(2**16) :]
        self._write([rest] if rest else [])

    def tail(self) -> str:
        """The last lines."""
        return "\n".join(self._last)

    def _write(self, lines: list[bytes]) -> None:
        if self._size > _LOG_BYTES:
            self.begin()
        with self.path.open("ab") as file:
            for line in lines:
                self._size += file.write(line + b"\n")
                text = line.decode(errors="replace")
                self._last.append(text)
                self._on_line(text)


def _ending(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
