"""A package that is not installed, for a while."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path


@contextmanager
def without_package(name: str) -> Iterator[None]:
    """Python looks for packages where all that are installed are but this one."""
    site = Path(str(metadata.distribution(name).locate_file("")))
    prefix, before = name.replace("-", "_").lower(), list(sys.path)
    with tempfile.TemporaryDirectory() as folder:
        for entry in site.iterdir():
            if not entry.name.lower().startswith(prefix):
                (Path(folder) / entry.name).symlink_to(entry)
        sys.path[:] = [folder if Path(path) == site else path for path in before]
        try:
            yield
        finally:
            sys.path[:] = before
