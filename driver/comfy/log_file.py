"""The server's log on disk: bounded, and never a reason to stop reading what the server prints."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

MAX_BYTES = 10_000_000
"""When a log is so long, it becomes the earlier one, and a new one begins."""


class LogFile:
    """A log and the one before it, `.1`, as a context manager.

    What cannot be written, on a full disk for instance, is left out: a server whose output nobody reads would
    wait for it for ever.

    Args:
        path: the log. One that exists becomes the earlier one: so a crash's log is kept, and that of another
            server in the same folder.
    """

    def __init__(self, path: Path):
        self._path = path
        self._open()

    def __enter__(self) -> LogFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, line: bytes) -> None:
        """Adds a line."""
        with suppress(OSError):
            if self._file.tell() > MAX_BYTES:
                self._file.close()
                self._open()
            self._file.write(line + b"\n")

    def _open(self) -> None:
        with suppress(FileNotFoundError):
            # Renamed, not emptied: another server in this workspace may still write to it.
            self._path.replace(self._path.with_suffix(".log.1"))
        self._file = self._path.open("wb", buffering=0)
