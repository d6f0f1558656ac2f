"""Downloads of a story's recordings and pictures from addresses that a stranger may have written."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import requests
from urllib3.exceptions import HTTPError

from . import guard
from .cache import Cache, CacheEntry, hashed
from .guard import ALLOW_PRIVATE as ALLOW_PRIVATE

MAX_BYTES = 500 * 2**20
MAX_SECONDS = 300
MAX_REDIRECTS = 5
_T = TypeVar("_T")


class DownloadError(Exception):
    """A download that was refused or failed: a sentence without the query, which may hold a secret."""


def is_address(text: str) -> bool:
    """Whether a story's `audio` or `image` is an address and not a file's path."""
    return "://" in text


def download(
    address: str, folder: Path, *, cache: Path | None = None, check: Callable[[], None] = lambda: None
) -> Path:
    """Fetches an http(s) address into `folder`, bounded in size, time and redirects.

    Args:
        address: what to fetch.
        folder: an existing folder, of this download alone.
        cache: a folder of what was downloaded before, made if need be; jobs and threads may share it. The
            server is asked each time whether it still has the same.
        check: raises if the download is not wanted any more, which ends it within a second. Called often,
            also in another thread.

    Returns:
        A file with the name that the address ends with. It stays, whatever becomes of the cache; nothing may
        write to it, because the cache may be the same file.

    Raises:
        DownloadError: what is wrong with it.
        OSError: `folder` cannot be written.
    """
    shown, name = _read(address)
    target = folder / name
    target.unlink(missing_ok=True)
    kept = Cache(cache) if cache else None
    known = kept.find(address) if kept else None
    deadline = time.monotonic() + MAX_SECONDS

    def look() -> None:
        check()
        if time.monotonic() > deadline:
            raise DownloadError(f"{shown} takes longer than {MAX_SECONDS} s.")

    with guard.Watch(look) as watch, _Line(shown, watch) as line:
        if kept and known:
            with line.ask(address, known.conditions()) as response:
                if response.status_code != 304:
                    return _take(line, response, address, target, kept)
                # Only what it came from can say that it has not changed.
                if hashed(response.url) == known.source and kept.take(address, known, target):
                    return target
        with line.ask(address, {}) as response:
            return _take(line, response, address, target, kept)


def _take(line: _Line, response: requests.Response, address: str, target: Path, kept: Cache | None) -> Path:
    try:
        size, sha256 = line.receive(response, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    headers = response.headers
    if kept and "no-store" not in headers.get("Cache-Control", "").lower():
        etag, modified = (_plain(headers.get(name, "")) for name in ("ETag", "Last-Modified"))
        entry = CacheEntry(
            sha256=sha256, bytes=size, source=hashed(response.url), etag=etag, modified=modified
        )
        kept.keep(address, entry, target)
    return target


class _Line:
    """The connections of one download."""

    def __init__(self, shown: str, watch: guard.Watch):
        self._shown, self._watch = shown, watch
        self._session = guard.Session(watch)
        # Sound and pictures are packed already.
        self._session.headers["Accept-Encoding"] = "identity"

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def ask(self, address: str, headers: dict[str, str]) -> requests.Response:
        """The answer to a request, after redirects; its body is not read yet."""
        timeout = (guard.CONNECT_SECONDS, guard.SILENT_SECONDS)
        for _ in range(MAX_REDIRECTS + 1):
            self._watch.look()
            get = partial(self._session.get, address, headers=headers, stream=True, timeout=timeout)
            response = self._reach(get)
            leads_to = self._reach(partial(self._session.redirect, response))
            if leads_to is None:
                return response
            response.close()
            address = leads_to
        raise DownloadError(f"{self._shown} redirects more than {MAX_REDIRECTS} times.")

    def receive(self, response: requests.Response, target: Path) -> tuple[int, str]:
        """Writes the body of an answer, unpacked, to a new file; gives its size and SHA-256."""
        if response.status_code != 200:
            raise DownloadError(f"{self._shown} answers with HTTP status {response.status_code}.")
        size, digest = 0, hashlib.sha256()
        self._must_fit(response.raw.length_remaining or 0)
        with target.open("xb") as file:
            # It gives what has come, and does not wait until a block is full.
            while block := self._reach(partial(response.raw.read1, 2**16, decode_content=True)):
                size += len(block)
                self._must_fit(size)
                digest.update(block)
                file.write(block)
                self._watch.look()
        # To be broken off may look like the end.
        self._watch.look()
        return size, digest.hexdigest()

    def _must_fit(self, size: int) -> None:
        if size > MAX_BYTES:
            raise DownloadError(f"{self._shown} is larger than {MAX_BYTES // 2**20} MB.")

    def _reach(self, act: Callable[[], _T]) -> _T:
        try:
            return act()
        except guard.Refused as error:
            failure = str(error)
        except (requests.RequestException, HTTPError, OSError, ValueError):
            failure = "cannot be reached or broke off: check the address."
        # Outside of `except`, since what was raised there may hold the whole address.
        self._watch.look()
        raise DownloadError(f"{self._shown} {failure}")


def _read(address: str) -> tuple[str, str]:
    """An address as it may be shown, and a file's name for it."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        raise DownloadError("An address is no http or https address: check it.") from None
    shown = "".join(
        sign if sign.isprintable() else "?" for sign in f"{parts.scheme}://{host}{parts.path}"[:300]
    )
    if parts.scheme not in ("http", "https") or not host:
        raise DownloadError(f"{shown} is no http or https address.")
    name = re.sub(r"[^\w. -]", "_", Path(unquote(parts.path)).name).lstrip(". ")
    return shown, name.encode()[-100:].decode(errors="ignore") or "download"


def _plain(header: str) -> str:
    return header if header.isascii() and header.isprintable() and len(header) <= 1000 else ""
