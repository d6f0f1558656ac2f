"""Files: atomic writes, finding by the end of a name, and reading again only what has changed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from os import PathLike
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

_More = ParamSpec("_More")
_Found = TypeVar("_Found")
_Reader = Callable[Concatenate[Path, _More], _Found]


def ending_with(folder: Path, ending: str) -> Path | None:
    """The file in a folder whose name ends so, the first of several; None without one."""
    # Not with `glob`: Python keeps each of thousands of patterns, and every key is another one.
    names = os.listdir(folder) if folder.is_dir() else []
    return min((folder / name for name in names if name.endswith(ending)), default=None)


def read_once(most: int) -> Callable[[_Reader[_More, _Found]], _Reader[_More, _Found]]:
    """Lets a function read a file again only after the file has changed.

    The function takes its path first and may return what others change only if they do not. It then raises
    OSError for a file that is not there.

    Args:
        most: how many results are kept, those that were asked for last.
    """

    def remembering(read: _Reader[_More, _Found]) -> _Reader[_More, _Found]:
        @lru_cache(most)
        def kept(path: Path, changed: int, size: int, /, *more: _More.args, **named: _More.kwargs) -> _Found:
            return read(path, *more, **named)

        @wraps(read)
        def read_or_known(path: Path, /, *more: _More.args, **named: _More.kwargs) -> _Found:
            about = path.stat()
            return kept(path, about.st_mtime_ns, about.st_size, *more, **named)

        return read_or_known

    return remembering


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
