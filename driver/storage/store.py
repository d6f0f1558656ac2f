"""Where finished files are kept: a bucket of any S3-compatible store or, where none is set up, a folder."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..files import sha256_of
from .bucket import Bucket


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
        stored = Stored(checked(key), *_measure(path))
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
        with _in_place_of(target) as aside:
            self._get(key, aside)
            fetched = Stored(key, *_measure(aside))
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


class FolderStore(Store):
    """Files in a folder of this machine, made if need be; their sums are in `.sha256` in it."""

    def __init__(self, folder: Path):
        self._folder = folder.resolve()

    def __str__(self) -> str:
        return "the local folder"

    def find(self, key: str) -> Stored | None:
        path, sha256 = self._folder / checked(key), self._sum(key)
        if not path.is_file():
            return None
        known = sha256.read_text() if sha256.is_file() else ""
        return Stored(key, path.stat().st_size, known or None)

    def keys(self, below: str = "") -> list[str]:
        paths = (self._folder / checked(below) if below else self._folder).rglob("*")
        keys = [path.relative_to(self._folder).as_posix() for path in paths if path.is_file()]
        return sorted(key for key in keys if is_key(key))

    def url(self, key: str) -> str:
        return (self._folder / checked(key)).as_uri()

    def _put(self, path: Path, stored: Stored, lasting: bool) -> None:
        with _in_place_of(self._folder / stored.key) as aside:
            shutil.copyfile(path, aside)
        self._keep_sum(stored)

    def _arrived(self, path: Path, stored: Stored) -> bool:
        return stored == (stored.key, *_measure(self._folder / stored.key))

    def _get(self, key: str, aside: Path) -> None:
        shutil.copyfile(self._folder / key, aside)

    def _copy(self, found: Stored, key: str) -> None:
        with _in_place_of(self._folder / key) as aside:
            link(self._folder / found.key, aside)
        self._keep_sum(found._replace(key=key))

    def _keep_sum(self, stored: Stored) -> None:
        with _in_place_of(self._sum(stored.key)) as aside:
            aside.write_text(stored.sha256 or "")

    def _sum(self, key: str) -> Path:
        return self._folder / ".sha256" / key


def from_environment(folder: Path) -> Store:
    """The store in the bucket that the environment sets up, or else in `folder`. Asks no server.

    Raises:
        Problems: settings that are missing or wrong.
    """
    bucket = Bucket.from_environment()
    if bucket is None:
        return FolderStore(folder)
    # boto3, which it needs, takes half a second to import.
    from .s3 import S3Store

    return S3Store(bucket)


def is_key(text: str) -> bool:
    """Whether a store takes it for a key."""
    plain = text.isprintable() and "\\" not in text and len(text.encode()) <= 800
    return plain and all(name and name[0] != "." and len(name.encode()) <= 255 for name in text.split("/"))


def checked(key: str) -> str:
    """The key itself. Raises NotStored if no store takes it for one."""
    if not is_key(key):
        raise NotStored(f"{key[:100]!r} is no file of a store: give names with / between them.")
    return key


def _measure(path: Path) -> tuple[int, str]:
    return path.stat().st_size, sha256_of(path)


def link(path: Path, second: Path) -> None:
    """A second name for a file or, where the disk has none, a copy. Raises OSError."""
    try:
        second.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, second)


@contextlib.contextmanager
def _in_place_of(target: Path) -> Iterator[Path]:
    """A path for a new file, which takes the place of `target` unless something goes wrong."""
    aside = _beside(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        os.replace(aside, target)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full. Free some space and try again." if full else f"{error.strerror}."
        raise StorageError(f"{target.name} cannot be written: {reason}") from None
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def _beside(target: Path) -> Path:
    return target.with_name(f".{uuid.uuid4().hex}.part")
