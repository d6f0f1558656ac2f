"""Downloads of a story's recordings and images from addresses that a stranger may have written."""

from __future__ import annotations

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

MAX_BYTES = 500 * 2**20
MAX_SECONDS = 300
MAX_REDIRECTS = 5
_T = TypeVar("_T")


class DownloadError(Exception):
    """A download was refused or failed. The message omits the query, which may hold a secret."""


def is_address(text: str) -> bool:
    """Whether a story's `audio` or `image` is an address, not a path."""
    return "://" in text


def download(address: str, folder: Path, *, check: Callable[[], None] = lambda: None) -> Path:
    """Fetches an http(s) address into `folder`, bounded in size, time and redirects.

    Args:
        address: what to fetch.
        folder: an existing folder, used by this download only.
        check: raises if the download is no longer wanted, which ends it within a second. Called often, also
            in another thread.

    Returns:
        A file named like the end of the address.

    Raises:
        DownloadError: why it failed.
        OSError: `folder` cannot be written.
    """
    shown, name = _parse(address)
    target = folder / name
    target.unlink(missing_ok=True)
    end = time.monotonic() + MAX_SECONDS

    def still_wanted() -> None:
        check()
        if time.monotonic() > end:
            raise DownloadError(f"{shown} takes longer than {MAX_SECONDS} s.")

    with guard.Deadline(still_wanted) as deadline, guard.Session(deadline) as session:
        # Audio and images are compressed already.
        session.headers["Accept-Encoding"] = "identity"
        transfer = _Transfer(shown, session, deadline)
        with transfer.request(address) as response:
            try:
                transfer.receive(response, target)
            except BaseException:
                target.unlink(missing_ok=True)
                raise
    return target


class _Transfer:
    """One download, whose every failure is a DownloadError."""

    def __init__(self, shown: str, session: guard.Session, deadline: guard.Deadline):
        self._shown, self._session, self._deadline = shown, session, deadline

    def request(self, address: str) -> requests.Response:
        """The response after redirects; its body has not been read."""
        timeout = (guard.CONNECT_SECONDS, guard.SILENT_SECONDS)
        for _ in range(MAX_REDIRECTS + 1):
            self._deadline.check()
            response = self._attempt(partial(self._session.get, address, stream=True, timeout=timeout))
            location = self._attempt(partial(self._session.redirect, response))
            if location is None:
                return response
            response.close()
            address = location
        raise DownloadError(f"{self._shown} redirects more than {MAX_REDIRECTS} times.")

    def receive(self, response: requests.Response, target: Path) -> None:
        """Writes the body of a response, decompressed, to a new file."""
        if response.status_code != 200:
            raise DownloadError(f"{self._shown} answers with HTTP status {response.status_code}.")
        size = 0
        self._check_size(response.raw.length_remaining or 0)
        with target.open("xb") as file:
            # `read1` returns what has arrived, and does not wait for a full block.
            while block := self._attempt(partial(response.raw.read1, 2**16, decode_content=True)):
                size += len(block)
                self._check_size(size)
                file.write(block)
                self._deadline.check()
        # A connection that the deadline closed may look like the end of the body.
        self._deadline.check()

    def _check_size(self, size: int) -> None:
        if size > MAX_BYTES:
            raise DownloadError(f"{self._shown} is larger than {MAX_BYTES // 2**20} MB.")

    def _attempt(self, act: Callable[[], _T]) -> _T:
        try:
            return act()
        except guard.Refused as error:
            failure = str(error)
        except (requests.RequestException, HTTPError, OSError, ValueError):
            failure = "cannot be reached, or the connection broke: check the address."
        # Outside of `except`, because the exception there may hold the whole address.
        self._deadline.check()
        raise DownloadError(f"{self._shown} {failure}")


def _parse(address: str) -> tuple[str, str]:
    """The address without its secrets, for messages, and a file name for it."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        raise DownloadError("An address is not an http or https address: check it.") from None
    shown = "".join(
        char if char.isprintable() else "?" for char in f"{parts.scheme}://{host}{parts.path}"[:300]
    )
    if parts.scheme not in ("http", "https") or not host:
        raise DownloadError(f"{shown} is not an http or https address.")
    name = re.sub(r"[^\w. -]", "_", Path(unquote(parts.path)).name).lstrip(". ")
    return shown, name.encode()[-100:].decode(errors="ignore") or "download"
