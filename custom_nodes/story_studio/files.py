"""Files: atomic writes, and finding by the end of a name."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path


def ending_with(folder: Path, ending: str) -> Path | None:
    """The file in a folder whose name ends so, the first of several; None without one."""
    # Not with `glob`: Python keeps each of thousands of patterns, and every key is another one.
    names = os.listdir(folder) if folder.is_dir() else []
    return min((folder / name for name in names if name.endswith(ending)), default=None)


@contextmanager
def written_aside(path: str | PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renamed to `path` if the block succeeds, else deleted."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{uuid.uuid4().hex}.part{path.suffix}")
    try:
        yield aside
        # Windows syncs only what it may write to.
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
