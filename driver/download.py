"""Downloads of a story's recordings and pictures from addresses that a stranger may have written."""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

MAX_BYTES = 500 * 2**20
MAX_SECONDS = 300
MAX_REDIRECTS = 5
ALLOW_PRIVATE = "STORY_STUDIO_ALLOW_PRIVATE_ADDRESSES"
"""Set to 1 in a private deployment whose files lie in its own network."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class DownloadError(Exception):
    """A download that was refused or failed: a sentence without the query, which may hold a secret."""


def is_address(text: str) -> bool:
    """Whether a story's `audio` or `image` is an address and not a file's path."""
    return "://" in text


def download(address: str, folder: Path) -> Path:
    """Fetches an http(s) address into `folder`, bounded in size, time and redirects.

    Raises:
        DownloadError: what is wrong with it.
    """
    parts = urlsplit(address)
    shown = f"{parts.scheme}://{parts.hostname}{parts.path}"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DownloadError(f"{shown} is no http or https address.")
    target = folder / (Path(parts.path).name[-100:] or "download")
    session = requests.Session()
    # Proxies and logins of this machine's environment are not for a stranger's address.
    session.trust_env = False
    session.max_redirects = MAX_REDIRECTS
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Guard())
    try:
        with session, session.get(address, stream=True, timeout=(10, 30)) as response:
            if not response.ok:
                raise DownloadError(f"{shown} answers with HTTP status {response.status_code}.")
            _receive(response, target, shown)
    except requests.TooManyRedirects:
        raise DownloadError(f"{shown} redirects more than {MAX_REDIRECTS} times.") from None
    except (requests.RequestException, OSError) as error:
        forbidden = _forbidden_in(error)
        reason = str(forbidden) if forbidden else "cannot be reached or broke off: check the address."
        raise DownloadError(f"{shown} {reason}") from None
    return target


def _receive(response: requests.Response, target: Path, shown: str) -> None:
    deadline = time.monotonic() + MAX_SECONDS
    size = 0
    with target.open("wb") as file:
        for block in response.iter_content(2**16):
            size += len(block)
            if size > MAX_BYTES:
                raise DownloadError(f"{shown} is larger than {MAX_BYTES // 2**20} MB.")
            if time.monotonic() > deadline:
                raise DownloadError(f"{shown} takes longer than {MAX_SECONDS} s.")
            file.write(block)


class _ForbiddenAddress(OSError):
    pass


def _check_peer(connected: socket.socket) -> socket.socket:
    # Asked of the socket itself, before anything is sent: a name that resolves anew, and every redirect, is
    # covered too.
    address = ipaddress.ip_address(connected.getpeername()[0].partition("%")[0])
    inner = getattr(address, "ipv4_mapped", None) or address
    if not inner.is_global or inner.is_multicast or (inner.version == 6 and inner in _NAT64):
        connected.close()
        raise _ForbiddenAddress(
            f"leads to a private address, which is refused. For a private deployment set {ALLOW_PRIVATE}=1."
        )
    return connected


def _forbidden_in(error: BaseException | None) -> _ForbiddenAddress | None:
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        current = waiting.pop()
        if isinstance(current, _ForbiddenAddress):
            return current
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            waiting += [
                current.__cause__,
                current.__context__,
                getattr(current, "reason", None),
                *current.args,
            ]
    return None


class _Checked:
    """A connection that looks at whom it has reached."""

    def _new_conn(self) -> socket.socket:
        return _check_peer(super()._new_conn())  # pyright: ignore[reportAttributeAccessIssue]


class _HTTP(_Checked, HTTPConnection):
    pass


class _HTTPS(_Checked, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTP  # pyright: ignore[reportAssignmentType]


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPS  # pyright: ignore[reportAssignmentType]


class _Guard(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        if os.environ.get(ALLOW_PRIVATE) != "1":
            self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
