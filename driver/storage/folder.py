"""Files in a folder of this machine."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ..files import files_below
from .store import Entry, NotStored, StorageError, Store, Stored, checked, is_key, measured, replacing

_SUM_BYTES = 4096
"""A block of most file systems: what a file with a sum takes."""


class FolderStore(Store):
    """Files in a folder, which is created if necessary. Their SHA-256 sums are in its subfolder `.sha256`.

    Other processes may delete files at any time. A file's time is that of its last use, not of its content.

    Args:
        folder: the folder.
        reachable: whether the clients are on this machine.
    """

    def __init__(self, folder: Path, *, reachable: bool = True):
        self.folder, self.reachable = folder.resolve(), reachable

    def __str__(self) -> str:
        return "the local folder"

    def find(self, key: str) -> Stored | None:
        path, sha256 = self.folder / checked(key), ""
        if not path.is_file():
            return None
        with suppress(FileNotFoundError):
            sha256 = self._sum_path(key).read_text()
        with suppress(FileNotFoundError):
            return Stored(key, path.stat().st_size, sha256 or None)
        return None

    def keys(self, below: str = "") -> list[str]:
        return sorted(entry.key for entry in self.entries(below))

    def entries(self, below: str = "") -> Iterator[Entry]:
        start = self.folder / checked(below) if below else self.folder
        for file in files_below(start, leave_out=self.folder / ".sha256"):
            key = Path(file.path).relative_to(self.folder).as_posix()
            with suppress(FileNotFoundError):
                about = file.stat()
                if is_key(key) and stat.S_ISREG(about.st_mode):
                    yield Entry(key, space_of(about) + _SUM_BYTES, about.st_mtime)

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            try:
                # The sum last: without one, a file would count as that of another program.
                for path in (self.folder / checked(key), self._sum_path(key)):
                    path.unlink(missing_ok=True)
                    # Folders of projects and jobs would pile up. One that is not empty stays.
                    with suppress(OSError):
                        path.parent.rmdir()
            except OSError as error:
                raise StorageError(f"{key} cannot be deleted from {self}: {error.strerror}.") from None

    def url(self, key: str) -> str:
        return (self.folder / checked(key)).as_uri()

    def _put(self, path: Path, stored: Stored, lasting: bool) -> None:
        with replacing(self.folder / stored.key) as aside:
            shutil.copyfile(path, aside)
        self._keep_sum(stored)

    def _arrived(self, path: Path, stored: Stored) -> bool:
        return stored == measured(self.folder / stored.key, stored.key)

    def _get(self, key: str, aside: Path) -> None:
        try:
            # First, so that this worker's own sweep leaves it alone while it is read.
            os.utime(self.folder / key)
            shutil.copyfile(self.folder / key, aside)
        except FileNotFoundError:
            raise NotStored(f"{key} is no longer in {self}.") from None

    def _copy(self, source: Stored, key: str) -> None:
        path = self.folder / source.key
        with replacing(self.folder / key) as aside:
            try:
                aside.hardlink_to(path)
            except OSError:
                # Some file systems have no hard links, and none links to another one.
                shutil.copyfile(path, aside)
        self._keep_sum(source._replace(key=key))

    def _keep_sum(self, stored: Stored) -> None:
        with replacing(self._sum_path(stored.key)) as aside:
            aside.write_text(stored.sha256 or "")

    def _sum_path(self, key: str) -> Path:
        return self.folder / ".sha256" / key


def space_of(about: os.stat_result) -> int:
    """The bytes that a file takes on its disk; each of its hard links takes a share."""
    # Windows does not know the blocks, and some network folders know of none.
    return max(about.st_size, getattr(about, "st_blocks", 0) * 512) // max(1, about.st_nlink)
