"""A web site on loopback whose pages do to their readers what they like."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Page = Callable[["Reader"], object]


class Site(ThreadingHTTPServer):
    """A running site.

    Attributes:
        url: its address.
        pages: what answers, by path.
        asked: the requests, each its path and its headers by their names in lower case.
        closing: set when the test is over; what goes on without end looks at it.
    """

    daemon_threads = True

    def __init__(self, host: str):
        super().__init__((host, 0), Reader)
        self.url = f"http://{host}:{self.server_port}"
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class Reader(BaseHTTPRequestHandler):
    """One request, and what can be answered to it."""

    server: Site

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, headers))
        self.server.pages.get(self.path.partition("?")[0], lambda reader: reader.answer(404))(self)

    def answer(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        """A whole answer. In the names of headers, _ stands for -."""
        self.begin(status, **{"Content_Length": str(len(body)), **headers})
        self.wfile.write(body)

    def begin(self, status: int = 200, **headers: str) -> None:
        """An answer up to its body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def go_on(self, piece: bytes, seconds: float = 0.02) -> None:
        """Sends a piece again and again, until nobody listens or the test is over."""
        with contextlib.suppress(OSError):
            while not self.server.closing.wait(seconds):
                self.wfile.write(piece)

    def be_silent(self) -> None:
        """Sends nothing more, but stays connected."""
        self.wfile.flush()
        self.server.closing.wait(60)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def site(host: str = "127.0.0.1") -> Iterator[Site]:
    """Runs one on a port of its own."""
    with Site(host) as running:
        threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
        yield running
        running.closing.set()
        running.shutdown()
