"""A Hugging Face Hub of a few files, over HTTP: `resolve` with its headers, and the storage behind it."""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Asked(NamedTuple):
    """A request: `server` is hub or storage, `range` and `login` are its headers, or empty."""

    server: str
    method: str
    path: str
    range: str
    login: str


@dataclass
class HubMirror:
    """What the mirror has, and how it misbehaves; `files` and the others go by path, like /owner/name/file.

    Attributes:
        url: the Hub's address.
        status: the HTTP status that the Hub sends instead of a redirect.
        sizes: the size of a file according to the Hub, in bytes.
        damaged: files of which the storage sends another last byte.
        resets: after how many bytes the storage resets the connection, once.
        holds: after how many bytes the storage sends no more until `release` is set.
        hashes: whether the Hub sends the files' SHA-256.
        bare: whether the Hub leaves its own headers out, as another kind of server does.
        asked: every request for a file.
    """

    files: Mapping[str, bytes]
    url: str = ""
    storage: str = ""
    status: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    resets: dict[str, int] = field(default_factory=dict)
    holds: dict[str, int] = field(default_factory=dict)
    hashes: bool = True
    bare: bool = False
    release: threading.Event = field(default_factory=threading.Event)
    asked: list[Asked] = field(default_factory=list)

    def fetched(self) -> list[Asked]:
        """The requests to the storage."""
        return [request for request in self.asked if request.server == "storage"]


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[HubMirror]:
    """A mirror of these files on two free ports of loopback."""
    mirror = HubMirror(files)
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), _handler(mirror, "hub", _resolve)) as hub,
        ThreadingHTTPServer(("127.0.0.1", 0), _handler(mirror, "storage", _send)) as storage,
    ):
        mirror.url, mirror.storage = (f"http://127.0.0.1:{server.server_port}" for server in (hub, storage))
        for server in (hub, storage):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield mirror
        mirror.release.set()
        hub.shutdown()
        storage.shutdown()


def _handler(
    mirror: HubMirror, server: str, answer: Callable[[HubMirror, BaseHTTPRequestHandler, str], None]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            for revision in ("main", COMMIT):
                path = path.replace(f"/resolve/{revision}/", "/")
            if path.startswith("/api/"):
                _head(self, 404)
                return
            headers = (self.headers.get(name, "") for name in ("Range", "Authorization"))
            mirror.asked.append(Asked(server, self.command, path, *headers))
            answer(mirror, self, path)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _head(request: BaseHTTPRequestHandler, status: int, headers: Mapping[str, object] | None = None) -> None:
    request.send_response(status)
    for name, value in {"Content-Length": 0, **(headers or {})}.items():
        request.send_header(name, str(value))
    request.end_headers()


def _resolve(mirror: HubMirror, request: BaseHTTPRequestHandler, path: str) -> None:
    content = mirror.files.get(path)
    status = mirror.status.get(path, 302 if content is not None else 404)
    if status != 302 or content is None:
        _head(request, status, {"X-Error-Code": {404: "EntryNotFound", 403: "GatedRepo"}.get(status, "")})
        return
    own = {
        "X-Repo-Commit": COMMIT,
        "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest() if mirror.hashes else len(content)}"',
        "X-Linked-Size": mirror.sizes.get(path, len(content)),
    }
    location = {"Location": f"{mirror.storage}{path}?signature=of-the-storage"}
    _head(request, status, location if mirror.bare else location | own)


def _send(mirror: HubMirror, request: BaseHTTPRequestHandler, path: str) -> None:
    content = mirror.files[path]
    if path in mirror.damaged:
        content = content[:-1] + bytes([content[-1] ^ 1])
    start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
    span = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
    _head(request, 206 if start else 200, {"Content-Length": len(content) - start, **span})
    reset, hold = mirror.resets.pop(path, None), mirror.holds.get(path)
    stop = reset or hold
    request.wfile.write(content[start:stop])
    if reset:
        # The data must arrive before the reset overtakes it.
        time.sleep(0.5)
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.connection.close()
        request.close_connection = True
    elif hold:
        mirror.release.wait(60)
        request.close_connection = True
