"""Downloads from a real HTTP server: what is fetched, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from driver import download
from driver.download import ALLOW_PRIVATE, DownloadError

asked: list[str] = []


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        asked.append(self.path)
        if self.path.startswith("/voice.mp3"):
            self._answer(200, body=b"sound")
        elif self.path == "/loop":
            self._answer(302, {"Location": "/loop"})
        elif self.path == "/elsewhere":
            self._answer(302, {"Location": "file:///etc/passwd"})
        elif self.path == "/endless":
            self._answer(200, body=b"x" * 3_000_000)
        else:
            self._answer(404)

    def _answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_file_is_fetched(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALLOW_PRIVATE, "1")
    assert download.download(f"{address}/voice.mp3?key=secret", tmp_path).read_bytes() == b"sound"


@pytest.mark.parametrize(
    ("path", "said"),
    [("/gone", "HTTP status 404"), ("/loop", "redirects more than"), ("/elsewhere", "cannot be reached")],
)
def test_what_fails_is_said_without_secrets(
    path: str, said: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALLOW_PRIVATE, "1")
    with pytest.raises(DownloadError, match=said) as caught:
        download.download(
            f"{address}{path}?signature=secret" if path == "/gone" else address + path, tmp_path
        )
    assert "secret" not in str(caught.value)


def test_size_is_bounded(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALLOW_PRIVATE, "1")
    monkeypatch.setattr(download, "MAX_BYTES", 1_000_000)
    with pytest.raises(DownloadError, match="is larger than"):
        download.download(f"{address}/endless", tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"])
def test_private_addresses_are_refused_before_anything_is_asked(
    host: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ALLOW_PRIVATE, raising=False)
    asked.clear()
    with pytest.raises(DownloadError, match="private address|cannot be reached"):
        download.download(address.replace("127.0.0.1", host) + "/voice.mp3", tmp_path)
    assert asked == []


@pytest.mark.parametrize("text", ["file:///etc/passwd", "ftp://example.com/a.mp3", "http:///a.mp3"])
def test_only_web_addresses_are_fetched(text: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="no http or https address"):
        download.download(text, tmp_path)
