"""Failures that pass are retried; others are not."""

from __future__ import annotations

import socket
import struct
import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from driver.fetch import download as module
from driver.fetch import guard
from driver.fetch.download import ATTEMPTS, DownloadError, download
from tests.fetch.tools import Page, Reader, Site, site

pytestmark = pytest.mark.usefixtures("allowed")


def _failing(times: int, failure: Page) -> Page:
    """A page that fails some times, and then works."""
    left = [times]

    def page(reader: Reader) -> None:
        left[0] -= 1
        failure(reader) if left[0] >= 0 else reader.answer(body=b"sound")

    return page


def reset(reader: Reader) -> None:
    reader.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    reader.connection.close()


def cut_body(reader: Reader) -> None:
    reader.begin(Content_Length="100000")
    reader.wfile.write(b"so")


def cut_chunks(reader: Reader) -> None:
    reader.protocol_version = "HTTP/1.1"
    reader.begin(Transfer_Encoding="chunked", Connection="close")
    reader.wfile.write(b"5\r\nsou")


def nothing(reader: Reader) -> None:
    reader.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("times", [1, ATTEMPTS - 1])
@pytest.mark.parametrize("failure", [408, 429, 500, 502, 503, 504, reset, cut_body, cut_chunks, nothing])
def test_a_failure_that_passes_does_not_matter(
    pages: Site, tmp_path: Path, failure: int | Page, times: int
) -> None:
    fail = failure if callable(failure) else lambda reader: reader.answer(failure, b"an error page")
    pages.pages["/a.mp3"] = _failing(times, fail)
    assert download(f"{pages.url}/a.mp3", tmp_path).read_bytes() == b"sound"
    assert len(pages.asked) == times + 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp3"]


@pytest.mark.parametrize("failure", [503, reset, cut_body])
def test_the_error_says_how_often_it_was_tried(pages: Site, tmp_path: Path, failure: int | Page) -> None:
    fail = failure if callable(failure) else lambda reader: reader.answer(failure)
    pages.pages["/a"] = fail
    with pytest.raises(DownloadError, match=f"It was tried {ATTEMPTS} times: try again later"):
        download(f"{pages.url}/a", tmp_path)
    assert len(pages.asked) == ATTEMPTS
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [204, 206, 304, 400, 401, 403, 404, 405, 410, 451, 501])
def test_other_statuses_are_not_retried(pages: Site, tmp_path: Path, status: int) -> None:
    pages.pages["/a"] = lambda reader: reader.answer(status)
    with pytest.raises(DownloadError, match=f"answers with HTTP status {status}"):
        download(f"{pages.url}/a", tmp_path)
    assert len(pages.asked) == 1


def test_a_body_that_cannot_be_decompressed_is_not_retried(pages: Site, tmp_path: Path) -> None:
    pages.pages["/a"] = lambda reader: reader.answer(body=b"\xff" * 500, Content_Encoding="gzip")
    with pytest.raises(DownloadError):
        download(f"{pages.url}/a", tmp_path)
    assert len(pages.asked) == 1


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_waited_for(
    pages: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    opens: list[float] = []

    def page(reader: Reader) -> None:
        if not opens:
            # A date has whole seconds.
            opens.append(int(time.time()) + 2 if form == "date" else time.time() + 1)
            value = formatdate(opens[0], usegmt=True) if form == "date" else "1"
            reader.answer(429, Retry_After=value)
        else:
            reader.answer(200 if time.time() >= opens[0] - 0.05 else 429, b"sound")

    pages.pages["/a"] = page
    assert download(f"{pages.url}/a", tmp_path).read_bytes() == b"sound"


@pytest.mark.parametrize("value", ["", "soon", "-5", "1.5", "9" * 5000, "Sun, 99 XYZ 2026 99:99:99 GMT", "0"])
def test_a_strange_retry_after_counts_as_none(pages: Site, tmp_path: Path, value: str) -> None:
    pages.pages["/a"] = _failing(1, lambda reader: reader.answer(503, Retry_After=value))
    assert download(f"{pages.url}/a", tmp_path).read_bytes() == b"sound"


def test_a_pause_beyond_the_time_of_a_download_is_not_waited_for(pages: Site, tmp_path: Path) -> None:
    pages.pages["/a"] = lambda reader: reader.answer(429, Retry_After="3600")
    with pytest.raises(DownloadError, match="status 429. It was tried once: try again in 3600 s"):
        download(f"{pages.url}/a", tmp_path)
    assert len(pages.asked) == 1


def test_all_attempts_share_one_limit_of_time(
    pages: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SECONDS", 1)
    monkeypatch.setattr(module, "BACKOFF_SECONDS", 60)
    monkeypatch.setattr(guard, "CHECK_SECONDS", 0.05)
    pages.pages["/a"] = lambda reader: reader.answer(503)
    with pytest.raises(DownloadError, match="takes longer than 1 s"):
        download(f"{pages.url}/a", tmp_path)


class Cancelled(BaseException):
    pass


def test_a_pause_ends_when_the_job_is_cancelled(
    pages: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKOFF_SECONDS", 120)
    cancelled = threading.Event()

    def check() -> None:
        if cancelled.is_set():
            raise Cancelled

    def page(reader: Reader) -> None:
        reader.answer(503)
        threading.Timer(0.2, cancelled.set).start()

    pages.pages["/a"] = page
    # Without the check the download would end with another error, after two minutes.
    with pytest.raises(Cancelled):
        download(f"{pages.url}/a", tmp_path, check=check)
    assert len(pages.asked) == 1


def test_an_attempt_starts_at_the_address_itself(pages: Site, tmp_path: Path) -> None:
    pages.pages["/a"] = lambda reader: reader.answer(302, Location=f"/signed?{len(pages.asked)}")
    pages.pages["/signed"] = _failing(1, lambda reader: reader.answer(503))
    download(f"{pages.url}/a", tmp_path)
    assert [path for path, _ in pages.asked] == ["/a", "/signed?1", "/a", "/signed?3"]


def test_every_attempt_is_guarded(
    pages: Site, tmp_path: Path, refused: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that fails once must not lead the second attempt to a private address."""
    is_public = guard.is_public
    monkeypatch.setattr(guard, "is_public", lambda address: address == "127.0.0.2" or is_public(address))

    with site("127.0.0.2") as outside:

        def page(reader: Reader) -> None:
            first = len(outside.asked) == 1
            reader.answer(503) if first else reader.answer(302, Location=f"{pages.url}/voice.mp3")

        outside.pages["/a"] = page
        with pytest.raises(DownloadError, match="leads to a private address"):
            download(f"{outside.url}/a", tmp_path)
        assert len(outside.asked) == 2
    assert pages.asked == []


def test_a_name_that_changes_between_attempts_is_guarded(
    pages: Site, tmp_path: Path, refused: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_public = guard.is_public
    monkeypatch.setattr(guard, "is_public", lambda address: address == "127.0.0.2" or is_public(address))
    with site("127.0.0.2") as outside:
        places = [("127.0.0.2", outside.server_port), ("127.0.0.1", pages.server_port)]
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", places.pop(0))],
        )
        outside.pages["/a"] = reset
        with pytest.raises(DownloadError, match="leads to a private address"):
            download("http://media.example/a", tmp_path)
    assert places == [] and pages.asked == []


@pytest.mark.parametrize(("error", "times"), [(socket.EAI_AGAIN, ATTEMPTS), (socket.EAI_NONAME, 1)])
def test_a_name_server_that_is_busy_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, times: int
) -> None:
    asked: list[str] = []

    def look_up(host: str, *_: object, **__: object) -> list:
        asked.append(host)
        raise socket.gaierror(error, "no")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(DownloadError, match="cannot be reached"):
        download("http://b\u00fccher.example/a", tmp_path)
    assert asked == ["xn--bcher-kva.example"] * times


@pytest.mark.parametrize("scheme", ["HTTP", "Http"])
def test_a_scheme_may_be_in_capitals(pages: Site, tmp_path: Path, scheme: str) -> None:
    address = f"{scheme}{pages.url.removeprefix('http')}/voice.mp3"
    pages.pages["/a"] = lambda reader: reader.answer(302, Location=address)
    assert module.is_address(address)
    assert download(address, tmp_path).read_bytes() == b"sound"
    assert download(f"{pages.url}/a", tmp_path).read_bytes() == b"sound"


@pytest.mark.parametrize(
    "path", ["scene: 1.wav", "C:\\a.wav", "C://a.wav", "a/b://c.wav", "12:30.wav", "a b://c"]
)
def test_a_path_is_no_address(path: str) -> None:
    assert not module.is_address(path)
