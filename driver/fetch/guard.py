"""Connections to addresses that a stranger may have written: public ones only, closed at a deadline."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

CONNECT_SECONDS = 10
SILENT_SECONDS = 30
CHECK_SECONDS = 0.5
ALLOW_PRIVATE = "STORY_STUDIO_ALLOW_PRIVATE_ADDRESSES"
"""Set to 1 in a private deployment that serves its files from its own network."""
_UNICAST = ipaddress.ip_network("2000::/3")
_6TO4 = ipaddress.ip_network("2002::/16")


class Refused(Exception):
    """The address leads to a private one. The message continues a sentence that begins with the address."""


class Deadline:
    """Runs `check` while something is fetched, and closes the connections once it raises.

    Without it, a server that sends a byte now and then, or never answers, would block the download for ever.

    Args:
        check: raises when the download must end. Called twice a second in another thread, and by `check`.
    """

    def __init__(self, check: Callable[[], None]):
        self._check = check
        self._expired: BaseException | None = None
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Deadline:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        for handle in self._sockets:
            handle.close()

    def check(self) -> None:
        """Raises what the `check` argument raised, in either thread."""
        if self._expired:
            raise self._expired
        self._check()

    def wait(self, seconds: float) -> None:
        """Waits, and raises what `check` raises as soon as it does."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, CHECK_SECONDS))

    def connect(self, places: list[tuple[Any, ...]], seconds: float | None) -> socket.socket:
        """A connection to the first of `socket.getaddrinfo`'s results that accepts one. Raises OSError."""
        for family, kind, protocol, _, place in places:
            self.check()
            connection = socket.socket(family, kind, protocol)
            try:
                self._add(connection)
                connection.settimeout(seconds)
                connection.connect(place)
                return connection
            except OSError:
                connection.close()
        # Not the last exception: urllib3 ignores a reset here, and would use the unconnected socket.
        raise ConnectionError("no address accepts a connection")

    def _add(self, connection: socket.socket) -> None:
        with self._lock:
            # TLS detaches the socket itself; a duplicate can still shut the connection down.
            self._sockets.append(connection.dup())
            if self._expired:
                self._shut_down()

    def _run(self) -> None:
        while not self._done.wait(CHECK_SECONDS):
            try:
                self._check()
            except BaseException as error:
                with self._lock:
                    self._expired = error
                    self._shut_down()
                return

    def _shut_down(self) -> None:
        for handle in self._sockets:
            with contextlib.suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)


class Session(requests.Session):
    """A session of guarded HTTP(S) requests. It follows no redirects: `redirect` returns where they lead."""

    def __init__(self, deadline: Deadline):
        super().__init__()
        # This machine's proxies and .netrc logins are not for a stranger's address.
        self.trust_env = False
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(deadline))

    def redirect(self, response: requests.Response) -> str | None:
        """The address that a redirect leads to; None if it is not a redirect."""
        target = super().get_redirect_target(response)
        return urljoin(response.url, target) if target else None

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        # Requests would first read the whole body of the redirect into memory, and it may be endless.
        return None


class _Adapter(HTTPAdapter):
    def __init__(self, deadline: Deadline):
        self._deadline = deadline
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        kind = _HTTPS if pool.scheme == "https" else _HTTP
        pool.ConnectionCls = partial(kind, deadline=self._deadline)  # pyright: ignore[reportAttributeAccessIssue]
        return pool


class _Guarded(HTTPConnection):
    def __init__(self, *args: Any, deadline: Deadline, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._deadline = deadline

    def _new_conn(self) -> socket.socket:
        # The name is resolved once, and only the addresses that were checked are connected to.
        places = socket.getaddrinfo(self._dns_host.strip("[]"), self.port, type=socket.SOCK_STREAM)
        allowed = os.environ.get(ALLOW_PRIVATE) == "1"
        if not allowed and not all(is_public(str(place[4][0])) for place in places):
            hint = f"For a private deployment set {ALLOW_PRIVATE}=1."
            raise Refused(f"leads to a private address, which is refused. {hint}")
        return self._deadline.connect(places, self.timeout)  # pyright: ignore[reportArgumentType]


class _HTTP(_Guarded):
    pass


class _HTTPS(_Guarded, HTTPSConnection):
    pass


def is_public(address: str) -> bool:
    """Whether an IP address is a public unicast one, and does not embed a private address."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    if parsed.version == 6 and (parsed not in _UNICAST or parsed in _6TO4):
        return False
    return parsed.is_global and not parsed.is_multicast


def is_loopback(host: str) -> bool:
    """Whether an address or name reaches this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
