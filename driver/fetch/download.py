"""Downloads of a story's recordings and images from addresses that a stranger may have written."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import requests
from urllib3 import Retry
from urllib3.exceptions import DecodeError, HTTPError, InvalidHeader

from . import guard

MAX_BYTES = 500 * 2**20
MAX_SECONDS = 300
MAX_REDIRECTS = 5
ATTEMPTS = 4
BACKOFF_SECONDS = 1.0
"""Before the second attempt; doubled before each further one."""
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_HINTS = {
    401: "it needs a login: use an address without one",
    403: "it needs a login, or has expired: use a new address without a login",
    404: "there is no such file: check the address",
    410: "the file is gone: use another address",
}
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_T = TypeVar("_T")


class DownloadError(Exception):
    """A download was refused or failed. The message omits the query, which may hold a secret."""


class _Passing(Exception):
    """A failure that may be over soon.

    Attributes:
        wait: seconds that the server asks to wait for, or 0.
    """

    def __init__(self, message: str, wait: float = 0):
        super().__init__(message)
        self.wait = wait


def is_address(text: str) -> bool:
    """Whether a story's `audio` or `image` is an address, not a path. `C://` is a drive, not a scheme."""
    return bool(_ADDRESS.match(text))


def download(
    address: str,
    folder: Path,
    *,
    check: Callable[[], None] = lambda: None,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Path:
    """Fetches an http(s) address into `folder`, bounded in size, time and redirects.

    A failure that may be over soon is retried, up to three times and within the same time. The server may say
    when, by `Retry-After`.

    Args:
        address: what to fetch.
        folder: an existing folder, used by this download only.
        check: raises if the download is no longer wanted, which ends it within a second. Called often, also
            in another thread.
        on_bytes: called with the size of each block that arrives; what it raises ends the download.

    Returns:
        A file named like the end of the address.

    Raises:
        DownloadError: why it failed.
        OSError: `folder` cannot be written.
    """
    shown, name = _parse(address)
    target = folder / name
    end = time.monotonic() + MAX_SECONDS

    def still_wanted() -> None:
        check()
        if time.monotonic() > end:
            raise DownloadError(f"{shown} takes longer than {MAX_SECONDS} s.")

    with guard.Deadline(still_wanted) as deadline, guard.Session(deadline) as session:
        # Audio and images are compressed already.
        session.headers["Accept-Encoding"] = "identity"
        transfer = _Transfer(shown, session, deadline, on_bytes)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                transfer.fetch(address, target)
                break
            except _Passing as error:
                deadline.wait(_pause(error, attempt, end))
    return target


def _pause(error: _Passing, attempt: int, end: float) -> float:
    """Seconds until the next attempt. Raises DownloadError if there is none."""
    tried = f"tried {attempt} times" if attempt > 1 else "tried once"
    if attempt == ATTEMPTS:
        raise DownloadError(f"{error} It was {tried}: try again later.") from None
    if error.wait > end - time.monotonic():
        raise DownloadError(f"{error} It was {tried}: try again in {error.wait:.0f} s.") from None
    return error.wait or BACKOFF_SECONDS * 2 ** (attempt - 1)


class _Transfer:
    """One download, whose every failure is a DownloadError, or _Passing."""

    def __init__(
        self,
        shown: str,
        session: guard.Session,
        deadline: guard.Deadline,
        on_bytes: Callable[[int], None],
    ):
        self._shown, self._session, self._deadline, self._on_bytes = shown, session, deadline, on_bytes

    def fetch(self, address: str, target: Path) -> None:
        """One attempt, from the beginning; the target is there only if it succeeds."""
        target.unlink(missing_ok=True)
        with self.request(address) as response:
            try:
                self.receive(response, target)
            except BaseException:
                target.unlink(missing_ok=True)
                raise

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
        status = response.status_code
        if status in _PASSING:
            raise _Passing(f"{self._shown} answers with HTTP status {status}.", _retry_after(response))
        if status != 200:
            hint = f": {_HINTS[status]}" if status in _HINTS else ""
            raise DownloadError(f"{self._shown} answers with HTTP status {status}{hint}.")
        size = 0
        self._check_size(response.raw.length_remaining or 0)
        with target.open("xb") as file:
            # `read1` returns what has arrived, and does not wait for a full block.
            while block := self._attempt(partial(response.raw.read1, 2**16, decode_content=True)):
                size += len(block)
                self._check_size(size)
                self._on_bytes(len(block))
                file.write(block)
                self._deadline.check()
        # A connection that the deadline closed may look like the end of the body.
        self._deadline.check()

    def _check_size(self, size: int) -> None:
        if size > MAX_BYTES:
            raise DownloadError(f"{self._shown} is larger than {MAX_BYTES // 2**20} MB.")

    def _attempt(self, act: Callable[[], _T]) -> _T:
        passing = False
        try:
            return act()
        except guard.Refused as error:
            failure = str(error)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            failure = "cannot be reached, or the connection broke: check the address."
            passing = _may_pass(error)
        # Outside of `except`, because the exception there may hold the whole address.
        self._deadline.check()
        raise (_Passing if passing else DownloadError)(f"{self._shown} {failure}")


def _may_pass(error: BaseException) -> bool:
    """Whether a failed request may succeed soon: not if the address, certificate or content is wrong."""
    for cause in _causes(error):
        if isinstance(cause, ValueError | DecodeError | ssl.SSLCertVerificationError):
            return False
        if isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN:
            return False
    return True


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__


def _retry_after(response: requests.Response) -> float:
    """Seconds until the time that `Retry-After` names; 0 if it names none."""
    value = response.headers.get("Retry-After", "")
    try:
        return Retry().parse_retry_after(value)
    except (InvalidHeader, ValueError, OverflowError):
        return 0


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
