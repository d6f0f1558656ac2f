"""The interface of all stores: files by keys, verified on the way in and out."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..files import is_disk_full, sha256_of, written_aside


class StorageError(Exception):
    """The store failed. The message says what to do, without secrets or paths of this machine."""


class NotStored(StorageError):
    """The store works, but the file is missing or damaged."""


class Stored(NamedTuple):
    """A file in the store.

    Attributes:
        key: its name, like `StoryStudio/img_20251204_123456.png`.
        bytes: its size.
        sha256: 64 hexadecimal digits; None if it was not stored by `Store.upload`.
    """

    key: str
    bytes: int
    sha256: str | None


class Entry(NamedTuple):
    """A file in a listing of the store.

    Attributes:
        key: its name.
        bytes: the space that it takes.
        used: when it was last stored, or used as far as the store keeps that; seconds since 1970.
    """

    key: str
    bytes: int
    used: float


class Store(ABC):
    """Files by keys: names separated by `/`, none empty or starting with a dot. Thread-safe.

    Attributes:
        reachable: whether the clients of the endpoint can read what `url` names.
    """

    reachable: bool = True

    def upload(self, path: Path, key: str, *, lasting: bool = False) -> Stored:
        """Stores a file, replacing the one with this key, and verifies what was stored.

        Args:
            path: the file; read in blocks.
            key: its name in the store.
            lasting: whether the key's content will never change. Then clients may cache it for a year;
                otherwise they must ask each time.

        Raises:
            StorageError: it was not stored.
            OSError: `path` cannot be read.
        """
        stored = measured(path, checked(key))
        self._put(path, stored, lasting)
        if self.find(key) != stored or not self._arrived(path, stored):
            raise StorageError(f"{key} arrived damaged in {self}: try again.")
        return stored

    def download(self, key: str, target: Path) -> Stored:
        """Downloads a file; `target` is replaced once the file is complete and verified.

        Raises:
            NotStored: it is missing or damaged.
            StorageError: the store or the disk fails.
        """
        stored = self._stored(key)
        with replacing(target) as aside:
            self._get(key, aside)
            downloaded = measured(aside, key)
            if downloaded != stored._replace(sha256=stored.sha256 or downloaded.sha256):
                raise NotStored(f"{key} in {self} is damaged: delete it there, and render it again.")
        return downloaded

    def copy(self, source: str, key: str) -> None:
        """Stores a file under a second key, replacing the one there, without sending it again.

        Clients may cache it for as long as the source.

        Raises:
            NotStored: there is no file with the key `source`.
            StorageError: it was not stored under the second key.
        """
        stored = self._stored(source)
        if source == checked(key):
            return
        self._copy(stored, key)
        if self.find(key) != stored._replace(key=key):
            raise StorageError(f"{key} in {self} is not the same as {source}: try again.")

    def _stored(self, key: str) -> Stored:
        if stored := self.find(key):
            return stored
        raise NotStored(f"{key} is not in {self}.")

    @abstractmethod
    def find(self, key: str) -> Stored | None:
        """The file with this key, or None. Raises StorageError."""

    @abstractmethod
    def keys(self, below: str = "") -> list[str]:
        """All keys, or those below a folder of the store, sorted. Raises StorageError."""

    @abstractmethod
    def entries(self, below: str = "") -> Iterator[Entry]:
        """As `keys`, with sizes and ages, in no order and never all in memory. Raises StorageError."""

    @abstractmethod
    def delete(self, keys: Sequence[str]) -> None:
        """Deletes files; one that is not there is no error. Raises StorageError if any remains."""

    @abstractmethod
    def url(self, key: str) -> str:
        """The address of the file with this key, whether or not there is one."""

    @abstractmethod
    def _put(self, path: Path, stored: Stored, lasting: bool) -> None: ...

    @abstractmethod
    def _arrived(self, path: Path, stored: Stored) -> bool: ...

    @abstractmethod
    def _get(self, key: str, aside: Path) -> None: ...

    @abstractmethod
    def _copy(self, source: Stored, key: str) -> None: ...


def is_key(text: str) -> bool:
    """Whether a text is a valid key."""
    plain = text.isprintable() and "\\" not in text and len(text.encode()) <= 800
    return plain and all(name and name[0] != "." and len(name.encode()) <= 255 for name in text.split("/"))


def checked(key: str) -> str:
    """The key itself. Raises NotStored if it is not valid."""
    if not is_key(key):
        raise NotStored(f"{key[:100]!r} is not a valid key: use names separated by /.")
    return key


def measured(path: Path, key: str) -> Stored:
    """A file as it is stored under this key. Raises OSError."""
    return Stored(key, path.stat().st_size, sha256_of(path))


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """`written_aside`, with StorageError instead of OSError."""
    try:
        with written_aside(target) as aside:
            yield aside
    except OSError as error:
        full = is_disk_full(error)
        reason = "the disk is full. Free some space and try again." if full else f"{error.strerror}."
        raise StorageError(f"{target.name} cannot be written: {reason}") from None
