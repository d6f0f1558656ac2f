"""Servers that send too much, too slowly, or nothing: their cost is bounded."""

from __future__ import annotations

import gzip
import socket
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest

from driver.fetch import download as module
from driver.fetch import guard
from driver.fetch.allowance import Allowance
from driver.fetch.download import DownloadError, download
from story_studio.story.problems import Problems
from tests.fetch.tools import Reader, Site

pytestmark = pytest.mark.usefixtures("allowed")
BROKEN = "cannot be reached, or the connection broke: check the address"


@pytest.fixture(autouse=True)
def bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SECONDS", 120)
    monkeypatch.setattr(module, "MAX_BYTES", 2**20)
    monkeypatch.setattr(guard, "CHECK_SECONDS", 0.05)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SECONDS", 1)


def trickling_body(reader: Reader) -> None:
    reader.begin(Content_Length="100000")
    reader.send_repeatedly(b"x")


def trickling_body_of_unknown_length(reader: Reader) -> None:
    reader.begin()
    reader.send_repeatedly(b"x")


def trickling_chunks(reader: Reader) -> None:
    reader.protocol_version = "HTTP/1.1"
    reader.begin(Transfer_Encoding="chunked")
    reader.send_repeatedly(b"1\r\nx\r\n")


def trickling_size_of_a_chunk(reader: Reader) -> None:
    reader.protocol_version = "HTTP/1.1"
    reader.begin(Transfer_Encoding="chunked")
    reader.wfile.write(b"1;")
    reader.send_repeatedly(b"x")


def trickling_status(reader: Reader) -> None:
    reader.wfile.write(b"HTTP/1.0 200 ")
    reader.send_repeatedly(b"x")


def trickling_header(reader: Reader) -> None:
    reader.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
    reader.send_repeatedly(b"x")


def provisional_answers(reader: Reader) -> None:
    reader.send_repeatedly(b"HTTP/1.1 100 Continue\r\n\r\n")


def nothing_when_decompressed(reader: Reader) -> None:
    reader.begin(Content_Encoding="gzip")
    reader.wfile.write(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03")
    reader.send_repeatedly(b"\x00\x00\x00\xff\xff")


def silent(reader: Reader) -> None:
    reader.keep_silent()


def silent_in_the_body(reader: Reader) -> None:
    reader.begin(Content_Length="100000")
    reader.wfile.write(b"x" * 1000)
    reader.keep_silent()


def redirect_after_redirect(reader: Reader) -> None:
    reader.server.closing.wait(0.3)
    reader.answer(302, Location="/a")


SLOW = [
    trickling_body,
    trickling_body_of_unknown_length,
    trickling_chunks,
    trickling_size_of_a_chunk,
    trickling_status,
    trickling_header,
    provisional_answers,
    nothing_when_decompressed,
    silent,
    silent_in_the_body,
    redirect_after_redirect,
]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("page", SLOW)
def test_time_is_bounded(pages: Site, tmp_path: Path, page: Callable[[Reader], None]) -> None:
    pages.pages["/a"] = page
    with pytest.raises(DownloadError, match="^http://127.0.0.1/a takes longer than 1 s"):
        download(f"{pages.url}/a", tmp_path)
    assert list(tmp_path.iterdir()) == []


class Cancelled(BaseException):
    pass


@pytest.mark.parametrize("error", [Cancelled(), TimeoutError("of the job"), ValueError("of the job")])
@pytest.mark.parametrize("page", SLOW)
def test_a_cancelled_download_ends(
    pages: Site, tmp_path: Path, page: Callable[[Reader], None], error
) -> None:

    def check() -> None:
        if pages.asked:
            raise error

    pages.pages["/a"] = page
    with pytest.raises(type(error)) as caught:
        download(f"{pages.url}/a", tmp_path, check=check)
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_is_cancelled_first_sends_no_request(pages: Site, tmp_path: Path) -> None:
    def check() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        download(f"{pages.url}/voice.mp3", tmp_path, check=check)
    assert pages.asked == []


@pytest.mark.parametrize("page", [silent, silent_in_the_body])
def test_silence_is_bounded(
    pages: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: Callable[[Reader], None]
) -> None:
    monkeypatch.setattr(guard, "SILENT_SECONDS", 0.2)
    pages.pages["/a"] = page
    with pytest.raises(DownloadError, match=BROKEN):
        download(f"{pages.url}/a", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(params=["to connect", "in all"])
def said(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The error when one of the two limits is exceeded; the other one is far away."""
    if request.param == "to connect":
        monkeypatch.setattr(guard, "CONNECT_SECONDS", 0.2)
        return BROKEN
    monkeypatch.setattr(guard, "CONNECT_SECONDS", 120)
    monkeypatch.setattr(module, "MAX_SECONDS", 1)
    return "takes longer than 1 s"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_never_accepts_is_not_waited_for(tmp_path: Path, scheme: str, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        queue = [socket.socket() for _ in range(3)]
        for one in queue:
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        with pytest.raises(DownloadError, match=said):
            download(f"{scheme}://127.0.0.1:{server.getsockname()[1]}/a", tmp_path)
        for one in queue:
            one.close()


def test_a_tls_handshake_that_never_starts_is_not_waited_for(tmp_path: Path, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(DownloadError, match=said):
        download(f"https://127.0.0.1:{server.getsockname()[1]}/a", tmp_path)


def test_size_is_bounded(pages: Site, tmp_path: Path) -> None:

    def endless(reader: Reader) -> None:
        reader.begin()
        reader.send_repeatedly(b"x" * 2**16, 0)

    pages.pages["/a"] = endless
    with pytest.raises(DownloadError, match="^http://127.0.0.1/a is larger than 1 MB"):
        download(f"{pages.url}/a", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("size", "fits"), [(2**20, True), (2**20 + 1, False)])
@pytest.mark.parametrize("announced", [True, False])
def test_the_limit_itself_is_allowed(
    pages: Site, tmp_path: Path, size: int, fits: bool, announced: bool
) -> None:
    def page(reader: Reader) -> None:
        reader.begin(200, **({"Content_Length": str(size)} if announced else {}))
        reader.wfile.write(bytes(size))

    pages.pages["/a"] = page
    if fits:
        assert download(f"{pages.url}/a", tmp_path).stat().st_size == size
    else:
        with pytest.raises(DownloadError, match="is larger than"):
            download(f"{pages.url}/a", tmp_path)


def test_a_body_that_is_announced_too_large_is_not_read(pages: Site, tmp_path: Path) -> None:

    def announces(reader: Reader) -> None:
        reader.begin(Content_Length=str(2**40))
        reader.keep_silent()

    pages.pages["/a"] = announces
    with pytest.raises(DownloadError, match="is larger than 1 MB"):
        download(f"{pages.url}/a", tmp_path)


@pytest.mark.parametrize("length", ["6", "1000000", "abc", "-1", "5, 6", "9" * 5000])
def test_a_wrong_length(pages: Site, tmp_path: Path, length: str) -> None:
    pages.pages["/a"] = lambda reader: reader.answer(body=b"sound", Content_Length=length)
    if length in ("abc", "-1", "9" * 5000):
        # That counts as none: the body ends with the connection.
        assert download(f"{pages.url}/a", tmp_path).read_bytes() == b"sound"
        return
    with pytest.raises(DownloadError, match=BROKEN):
        download(f"{pages.url}/a", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("end", [b"5\r\nsou", b"5\r\nsound\r\n", b"-5\r\n", b"zz\r\n", b"9" * 70_000])
def test_broken_chunks_are_errors(pages: Site, tmp_path: Path, end: bytes) -> None:
    def page(reader: Reader) -> None:
        reader.protocol_version = "HTTP/1.1"
        reader.begin(Transfer_Encoding="chunked", Connection="close")
        reader.wfile.write(b"5\r\nsound\r\n" + end)

    pages.pages["/a"] = page
    with pytest.raises(DownloadError, match=BROKEN):
        download(f"{pages.url}/a", tmp_path)
    assert list(tmp_path.iterdir()) == []


def many_headers(reader: Reader) -> None:
    reader.begin(200, **{f"X_{number}": "x" for number in range(2000)})


def long_header(reader: Reader) -> None:
    reader.begin(X="x" * 70_000)


def endless_headers(reader: Reader) -> None:
    reader.wfile.write(b"HTTP/1.0 200 OK\r\n")
    reader.send_repeatedly(b"X: x\r\n" * 100, 0)


def endless_header(reader: Reader) -> None:
    reader.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
    reader.send_repeatedly(b"x" * 2**16, 0)


def no_http(reader: Reader) -> None:
    reader.send_repeatedly(b"SSH-2.0-" + b"x" * 2**16, 0)


@pytest.mark.parametrize("page", [many_headers, long_header, endless_headers, endless_header, no_http])
def test_floods_of_headers_are_refused(pages: Site, tmp_path: Path, page: Callable[[Reader], None]) -> None:
    pages.pages["/a"] = page
    with pytest.raises(DownloadError, match=BROKEN):
        download(f"{pages.url}/a", tmp_path)


def test_the_body_of_a_redirect_is_not_read(pages: Site, tmp_path: Path) -> None:

    def endless(reader: Reader) -> None:
        reader.begin(302, Location="/voice.mp3")
        reader.send_repeatedly(b"x" * 2**16, 0)

    pages.pages["/a"] = endless
    assert download(f"{pages.url}/a", tmp_path).read_bytes() == b"sound"


def _zeros(size: int, pack: Callable[[bytes], bytes], finish: Callable[[], bytes]) -> bytes:
    return b"".join([*(pack(bytes(2**20)) for _ in range(size // 2**20)), finish()])


def _bomb(kind: str) -> bytes:
    """256 MB of zeros, compressed to 250 kB or less."""
    if kind == "br":
        packer = brotli.Compressor(quality=5)
        return _zeros(2**28, packer.process, packer.finish)
    deflate = zlib.compressobj(wbits=31 if kind.startswith("gzip") else 15)
    packed = _zeros(2**28, deflate.compress, deflate.flush)
    return gzip.compress(packed) if kind == "gzip, gzip" else packed


@pytest.mark.parametrize("kind", ["gzip", "deflate", "br", "gzip, gzip"])
def test_bombs_are_bounded_in_size_and_memory(pages: Site, tmp_path: Path, kind: str) -> None:
    bomb = _bomb(kind)
    assert len(bomb) < 2**20
    pages.pages["/a"] = lambda reader: reader.answer(body=bomb, Content_Encoding=kind)
    tracemalloc.start()
    with pytest.raises(DownloadError, match="is larger than 1 MB"):
        download(f"{pages.url}/a", tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


def test_a_bomb_without_end_is_bounded(pages: Site, tmp_path: Path) -> None:

    def page(reader: Reader) -> None:
        packer = zlib.compressobj(wbits=31)
        reader.begin(Content_Encoding="gzip")
        reader.wfile.write(packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH))
        reader.send_repeatedly(packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH), 0)

    pages.pages["/a"] = page
    with pytest.raises(DownloadError, match="is larger than 1 MB"):
        download(f"{pages.url}/a", tmp_path)


@pytest.mark.parametrize(("kind", "pack"), [("gzip", gzip.compress), ("br", brotli.compress)])
def test_compressed_bodies_are_decompressed(
    pages: Site, tmp_path: Path, kind: str, pack: Callable[[bytes], bytes]
) -> None:
    body = bytes(range(256)) * 3000
    pages.pages["/a"] = lambda reader: reader.answer(body=pack(body), Content_Encoding=kind)
    assert download(f"{pages.url}/a", tmp_path).read_bytes() == body


@pytest.mark.parametrize("kind", ["gzip", "br", "deflate", ", ".join(["gzip"] * 100)])
def test_wrongly_declared_compression_is_an_error(pages: Site, tmp_path: Path, kind: str) -> None:
    pages.pages["/a"] = lambda reader: reader.answer(body=b"\xff" * 500, Content_Encoding=kind)
    with pytest.raises(DownloadError, match=BROKEN):
        download(f"{pages.url}/a", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_all_downloads_of_a_job_may_take_ends_a_download(pages: Site, tmp_path: Path) -> None:
    pages.pages["/endless"] = trickling_body_of_unknown_length
    allowance = Allowance("scenes", max_bytes=10)
    with pytest.raises(Problems, match="^scenes: name more than 0 MB together"):
        download(pages.url + "/endless", tmp_path, on_bytes=allowance.spend)
    assert not list(tmp_path.iterdir())
