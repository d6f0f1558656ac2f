"""A web server on loopback whose pages may misbehave in any way."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Page = Callable[["Reader"], object]


class Site(ThreadingHTTPServer):
    """A running server.

    Attributes:
        url: its address.
        pages: the functions that respond, by path.
        asked: the requests: their paths, and their headers by lower-case name.
        closing: set when the test is over; endless responses end then.
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
    """One request, and the possible responses."""

    server: Site

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, headers))
        self.server.pages.get(self.path.partition("?")[0], lambda reader: reader.answer(404))(self)

    def answer(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        """Sends a whole response. In header names, _ stands for -."""
        self.begin(status, **{"Content_Length": str(len(body)), **headers})
        self.wfile.write(body)

    def begin(self, status: int = 200, **headers: str) -> None:
        """Sends a response up to its body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def send_repeatedly(self, piece: bytes, seconds: float = 0.02) -> None:
        """Sends a piece repeatedly, until the connection is closed or the test is over."""
        with contextlib.suppress(OSError):
            while not self.server.closing.wait(seconds):
                self.wfile.write(piece)

    def keep_silent(self) -> None:
        """Sends nothing more, but keeps the connection open."""
        self.wfile.flush()
        self.server.closing.wait(60)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def site(host: str = "127.0.0.1") -> Iterator[Site]:
    """A server on a free port."""
    with Site(host) as running:
        threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
        yield running
        running.closing.set()
        running.shutdown()
