"""Files of JSON lines beside results: what the server remembers of them, an entry in each line.

A line is appended in one write, so that servers with one output folder lose none of each other's. A file that
has grown too large is written again beside it and renamed, so a crash leaves the old one or the new one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..files import written_aside

_lock = threading.Lock()
"""Nodes note in ComfyUI's worker thread, and routes forget in others."""


def entries(path: Path) -> list[dict[str, Any]]:
    """What is noted in a file, the oldest first, without lines that were cut short; empty without a file."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [entry for line in lines if isinstance(entry := _entry(line), dict)]


def note(
    path: Path,
    entry: dict[str, Any],
    most_bytes: int,
    kept: Callable[[list[dict[str, Any]]], Iterable[dict[str, Any]]],
) -> None:
    """Adds an entry.

    Args:
        path: of the file, which need not be there.
        entry: what is noted.
        most_bytes: of the file. Once it is larger, only what `kept` returns of its entries stays.

    Raises:
        OSError: it cannot be written.
    """
    with _lock:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(_line(entry))
            size = file.tell()
    if size > most_bytes:
        rewrite(path, kept)


def rewrite(path: Path, kept: Callable[[list[dict[str, Any]]], Iterable[dict[str, Any]]]) -> None:
    """Keeps only what `kept` returns of a file's entries.

    Raises:
        OSError: it cannot be written.
    """
    with _lock, written_aside(path) as aside:
        aside.write_bytes(b"".join(map(_line, kept(entries(path)))))


def _line(entry: dict[str, Any]) -> bytes:
    return f"{json.dumps(entry)}\n".encode()


def _entry(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
