"""What was downloaded before: bodies by their content, and for each address a entry of what it held."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from ..storage.store import link

MAX_CACHE_BYTES = 2 * 2**30
MAX_NOTES = 10_000

logger = logging.getLogger(__name__)


class CacheEntry(BaseModel, frozen=True):
    """What an address held when it was asked last.

    Attributes:
        sha256: of the body, 64 hexadecimal digits.
        bytes: its size.
        source: the `hashed` address that it came from in the end, after redirects.
        etag: the server's name for this version of it, or empty.
        modified: when it was changed, in the server's words, or empty.
    """

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int
    source: str
    etag: str = ""
    modified: str = ""

    def conditions(self) -> dict[str, str]:
        """The headers of a request for it, if it is not this version any more."""
        headers = {"If-None-Match": self.etag, "If-Modified-Since": self.modified}
        return {name: value for name, value in headers.items() if value}


class Cache:
    """A folder of downloads, made if need be, that threads and processes share.

    Each file gets its name when it is whole, so none is half there when its writer is killed. Above
    MAX_CACHE_BYTES, or MAX_NOTES, what was used longest ago goes.
    """

    def __init__(self, folder: Path):
        self._bodies, self._notes = folder / "bodies", folder / "notes"

    def find(self, address: str) -> CacheEntry | None:
        """What is known of an address, if the server can be asked whether it still holds it."""
        try:
            entry = CacheEntry.model_validate_json((self._notes / hashed(address)).read_bytes())
        except (OSError, ValidationError):
            return None
        return entry if entry.conditions() else None

    def take(self, address: str, entry: CacheEntry, target: Path) -> bool:
        """Makes `target`, which must not exist, from what is kept; False if that is gone or damaged."""
        body = self._bodies / entry.sha256
        try:
            link(body, target)
            if _is_whole(target, entry):
                _touch(body)
                _touch(self._notes / hashed(address))
                return True
            body.unlink()
        except OSError:
            pass
        target.unlink(missing_ok=True)
        return False

    def keep(self, address: str, entry: CacheEntry, path: Path) -> None:
        """Keeps what was downloaded. A cache that cannot be written is no failure of the download."""
        try:
            _put(self._bodies / entry.sha256, lambda aside: link(path, aside))
            _put(self._notes / hashed(address), lambda aside: aside.write_text(entry.model_dump_json()))
            _trim(self._bodies, MAX_CACHE_BYTES, lambda found: found.st_size)
            _trim(self._notes, MAX_NOTES, lambda _: 1)
        except OSError as error:
            logger.warning("A download cannot be kept in the cache: %s", error.strerror)


def hashed(address: str) -> str:
    """An address as a name that does not tell it, because its query may be a key: 64 hexadecimal digits."""
    return hashlib.sha256(address.encode(errors="surrogatepass")).hexdigest()


def _is_whole(path: Path, entry: CacheEntry) -> bool:
    with path.open("rb") as file:
        whole = os.fstat(file.fileno()).st_size == entry.bytes
        return whole and hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256


def _touch(path: Path) -> None:
    # The clock that files get by themselves is too coarse to tell what was used last.
    now = time.time_ns()
    os.utime(path, ns=(now, now))


def _put(path: Path, write: Callable[[Path], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(uuid.uuid4().hex)
    try:
        write(aside)
        _touch(aside)
        os.replace(aside, path)
    finally:
        # Two names of one file stay two, and what failed stays too.
        aside.unlink(missing_ok=True)


def _trim(folder: Path, limit: int, weigh: Callable[[os.stat_result], int]) -> None:
    found: list[tuple[os.stat_result, str]] = []
    for entry in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):
            found.append((entry.stat(), entry.path))
    found.sort(key=lambda one: one[0].st_mtime_ns, reverse=True)
    for status, path in found:
        limit -= weigh(status)
        if limit < 0:
            Path(path).unlink(missing_ok=True)
