"""Connections to what a stranger may have named: to public addresses only, and ended when they must end."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

CONNECT_SECONDS = 10
SILENT_SECONDS = 30
LOOK_SECONDS = 0.5
ALLOW_PRIVATE = "STORY_STUDIO_ALLOW_PRIVATE_ADDRESSES"
"""Set to 1 in a private deployment whose files lie in its own network."""
_UNICAST = ipaddress.ip_network("2000::/3")
_6TO4 = ipaddress.ip_network("2002::/16")
# Below these levels urllib3 logs whole addresses, and a query may be a key.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)


class Refused(Exception):
    """It leads to a private address: the end of a sentence that begins with the address."""


class Watch:
    """Looks on while something is fetched, and breaks its connections off when it must end.

    Without it, who sends a byte now and then, or never answers, would keep us waiting.

    Args:
        check: raises if it must end. Called twice a second in a thread of its own, and by `look`.
    """

    def __init__(self, check: Callable[[], None]):
        self._check = check
        self._over: BaseException | None = None
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        for one in self._sockets:
            one.close()

    def look(self) -> None:
        """Raises what `check` raised, if it did."""
        if self._over:
            raise self._over
        self._check()

    def connect(self, places: list[tuple[Any, ...]], seconds: float | None) -> socket.socket:
        """A connection to the first of `socket.getaddrinfo`'s places that takes one. Raises OSError."""
        for family, kind, protocol, _, place in places:
            self.look()
            one = socket.socket(family, kind, protocol)
            try:
                self._add(one)
                one.settimeout(seconds)
                one.connect(place)
                return one
            except OSError:
                one.close()
        # Not what was raised last: urllib3 goes on after a reset, as if it were connected.
        raise ConnectionError("nobody takes a connection")

    def _add(self, one: socket.socket) -> None:
        with self._lock:
            # TLS takes the socket itself away, but a second handle stays good for breaking it off.
            self._sockets.append(one.dup())
            if self._over:
                self._break_off()

    def _run(self) -> None:
        while not self._done.wait(LOOK_SECONDS):
            try:
                self._check()
            except BaseException as error:
                with self._lock:
                    self._over = error
                    self._break_off()
                return

    def _break_off(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class Session(requests.Session):
    """A session of HTTP(S) requests that are guarded. It follows no redirect: `redirect` tells where to."""

    def __init__(self, watch: Watch):
        super().__init__()
        # Proxies and logins of this machine's environment are not for a stranger's address.
        self.trust_env = False
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(watch))

    def redirect(self, response: requests.Response) -> str | None:
        """Where an answer leads to, if it is a redirect."""
        target = super().get_redirect_target(response)
        return urljoin(response.url, target) if target else None

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        # Requests would read the redirect's body to its end first, into memory, and some have no end.
        return None


class _Adapter(HTTPAdapter):
    def __init__(self, watch: Watch):
        self._watch = watch
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        kind = _HTTPS if pool.scheme == "https" else _HTTP
        pool.ConnectionCls = partial(kind, watch=self._watch)  # pyright: ignore[reportAttributeAccessIssue]
        return pool


class _Guarded(HTTPConnection):
    def __init__(self, *args: Any, watch: Watch, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._watch = watch

    def _new_conn(self) -> socket.socket:
        # What the name leads to is looked up once, and only what was checked is connected to.
        places = socket.getaddrinfo(self._dns_host.strip("[]"), self.port, type=socket.SOCK_STREAM)
        allowed = os.environ.get(ALLOW_PRIVATE) == "1"
        if not allowed and not all(is_public(str(place[4][0])) for place in places):
            hint = f"For a private deployment set {ALLOW_PRIVATE}=1."
            raise Refused(f"leads to a private address, which is refused. {hint}")
        return self._watch.connect(places, self.timeout)  # pyright: ignore[reportArgumentType]


class _HTTP(_Guarded):
    pass


class _HTTPS(_Guarded, HTTPSConnection):
    pass


def is_public(address: str) -> bool:
    """Whether an IP address is one machine of the internet, and none that stands for an address inside."""
    given = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(given, "ipv4_mapped", None) or given
    if inner.version == 6 and (inner not in _UNICAST or inner in _6TO4):
        return False
    return inner.is_global and not inner.is_multicast
