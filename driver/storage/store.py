"""What every store does: files by keys, checked on the way in and out."""

from __future__ import annotations

import contextlib
import errno
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..files import sha256_of, written_aside


class StorageError(Exception):
    """The store failed: a sentence that says what to do, without secrets or paths of this machine."""


class NotStored(StorageError):
    """The store works, but it has no such file, or not what was stored."""


class Stored(NamedTuple):
    """A file in the store.

    Attributes:
        key: its name there, like `StoryStudio/img_20251204_123456.png`.
        bytes: its size.
        sha256: 64 hexadecimal digits; None if it was not stored by `Store.upload`.
    """

    key: str
    bytes: int
    sha256: str | None


class Store(ABC):
    """Files by keys: names with `/` between them, none empty or with a dot in front. Safe in threads."""

    def upload(self, path: Path, key: str, *, lasting: bool = False) -> Stored:
        """Stores a file, in place of what has this key, and checks what is there then.

        Args:
            path: the file; read piece by piece.
            key: its name in the store.
            lasting: whether the key will never have other content. Then whoever fetches it may keep it for a
                year, and else must ask each time whether it has changed.

        Raises:
            StorageError: it is not stored.
            OSError: `path` cannot be read.
        """
        stored = measured(path, checked(key))
        self._put(path, stored, lasting)
        if self.find(key) != stored or not self._arrived(path, stored):
            raise StorageError(f"{key} is in {self}, but not as it was sent: try again.")
        return stored

    def download(self, key: str, target: Path) -> Stored:
        """Fetches a file; `target` is made or replaced only when all is there, and as it was stored.

        Raises:
            NotStored: it is missing or damaged.
            StorageError: the store or the disk fails.
        """
        found = self.find(key)
        if found is None:
            raise NotStored(f"{key} is not in {self}.")
        with replacing(target) as aside:
            self._get(key, aside)
            fetched = measured(aside, key)
            if fetched != found._replace(sha256=found.sha256 or fetched.sha256):
                raise NotStored(f"{key} in {self} is damaged: delete it there, and make it again.")
        return fetched

    def copy(self, source: str, key: str) -> None:
        """Stores what has the key `source` under another key too, without sending it again.

        It takes the place of what has that key. Whoever fetches it may keep it as long as the source.

        Raises:
            NotStored: there is nothing with the key `source`.
            StorageError: it is not stored under the other key.
        """
        found = self.find(source)
        if found is None:
            raise NotStored(f"{source} is not in {self}.")
        if source == checked(key):
            return
        self._copy(found, key)
        if self.find(key) != found._replace(key=key):
            raise StorageError(f"{key} is in {self}, but not as {source} is: try again.")

    @abstractmethod
    def find(self, key: str) -> Stored | None:
        """The file with this key, or None. Raises StorageError if the store does not tell."""

    @abstractmethod
    def keys(self, below: str = "") -> list[str]:
        """The keys below a folder of the store, sorted; or all. Raises StorageError like `find`."""

    @abstractmethod
    def url(self, key: str) -> str:
        """An address from which the file can be read. It is not asked whether there is one."""

    @abstractmethod
    def _put(self, path: Path, stored: Stored, lasting: bool) -> None: ...

    @abstractmethod
    def _arrived(self, path: Path, stored: Stored) -> bool: ...

    @abstractmethod
    def _get(self, key: str, aside: Path) -> None: ...

    @abstractmethod
    def _copy(self, found: Stored, key: str) -> None: ...


def is_key(text: str) -> bool:
    """Whether a store takes it for a key."""
    plain = text.isprintable() and "\\" not in text and len(text.encode()) <= 800
    return plain and all(name and name[0] != "." and len(name.encode()) <= 255 for name in text.split("/"))


def checked(key: str) -> str:
    """The key itself. Raises NotStored if no store takes it for one."""
    if not is_key(key):
        raise NotStored(f"{key[:100]!r} is no file of a store: give names with / between them.")
    return key


def measured(path: Path, key: str) -> Stored:
    """What a file would be in a store under this key. Raises OSError."""
    return Stored(key, path.stat().st_size, sha256_of(path))


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """`written_aside`, whose failures are StorageErrors."""
    try:
        with written_aside(target) as aside:
            yield aside
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full. Free some space and try again." if full else f"{error.strerror}."
        raise StorageError(f"{target.name} cannot be written: {reason}") from None
