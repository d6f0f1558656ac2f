"""Whether a server of this machine was killed because memory ran out, remembered in its workspace."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from story_studio.ram import read_ram

_FILE = "memory_ran_out.json"


def is_careful(workspace: Path) -> bool:
    """Whether memory ran out here before. What happened with less memory than there is now does not count."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        remembered = json.loads((workspace / _FILE).read_text(encoding="utf-8"))
        return read_ram().total <= 1.1 * float(remembered["total_gb"])
    return False


def remember(workspace: Path) -> Path:
    """Remembers that memory ran out; returns the file, which a user can delete."""
    path = workspace / _FILE
    path.write_text(json.dumps({"total_gb": round(read_ram().total, 1)}), encoding="utf-8")
    return path
