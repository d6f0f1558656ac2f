"""What was downloaded before is kept by its content, and asked for only if it has changed."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from driver.fetch import cache as module
from driver.fetch import download as downloads
from driver.fetch.download import ALLOW_PRIVATE, DownloadError, download
from tests.fetch.tools import Reader, Site, site

pytestmark = pytest.mark.usefixtures("allowed")
OLD = "Mon, 01 Jan 2024 00:00:00 GMT"


class Shelf:
    """A page with a version, which is not sent to who has it."""

    def __init__(self, body: bytes, etag: str = '"1"', modified: str = "", **headers: str):
        self.body, self.etag, self.modified, self.headers = body, etag, modified, headers

    def __call__(self, reader: Reader) -> None:
        told = {"ETag": self.etag, "Last_Modified": self.modified}
        headers = {name: value for name, value in told.items() if value} | self.headers
        known = self.etag and reader.headers.get("If-None-Match") == self.etag
        if known or (self.modified and reader.headers.get("If-Modified-Since") == self.modified):
            reader.begin(304, **headers)
        else:
            reader.answer(200, self.body, **headers)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def fetch(pages: Site, cache: Path, tmp_path: Path):
    """Downloads a path of the site into a new folder each time."""

    def fetch(path: str, site: Site = pages) -> Path:
        folder = tmp_path / "jobs" / str(len(list((tmp_path / "jobs").glob("*"))))
        folder.mkdir(parents=True)
        return download(site.url + path, folder, cache=cache)

    return fetch


def bodies(cache: Path) -> list[Path]:
    return sorted((cache / "bodies").iterdir())


def conditions(site: Site) -> list[dict[str, str]]:
    return [{name: text for name, text in headers.items() if name[:3] == "if-"} for _, headers in site.asked]


@pytest.mark.parametrize("shelf", [Shelf(b"one"), Shelf(b"one", "", OLD), Shelf(b"one", 'W/"1"', OLD)])
def test_what_has_not_changed_is_not_sent_again(pages: Site, cache: Path, fetch, shelf: Shelf) -> None:
    pages.pages["/voice.mp3"] = shelf
    found = [fetch("/voice.mp3?key=secret") for _ in range(3)]
    assert [path.read_bytes() for path in found] == [b"one"] * 3
    assert {path.name for path in found} == {"voice.mp3"}
    asked = {"if-none-match": shelf.etag, "if-modified-since": shelf.modified}
    asked = {name: text for name, text in asked.items() if text}
    assert conditions(pages) == [{}, asked, asked]
    assert [path.name for path in bodies(cache)] == [hashlib.sha256(b"one").hexdigest()]


def test_what_has_changed_is_sent(pages: Site, fetch) -> None:
    pages.pages["/a.png"] = Shelf(b"one", '"1"')
    before = fetch("/a.png")
    pages.pages["/a.png"] = Shelf(b"two", '"2"')
    assert fetch("/a.png").read_bytes() == fetch("/a.png").read_bytes() == b"two"
    assert before.read_bytes() == b"one"
    assert [sent.get("if-none-match") for sent in conditions(pages)] == [None, '"1"', '"2"']


@pytest.mark.parametrize(
    "headers", [{}, {"ETag": "\xe9"}, {"ETag": "x" * 1001}, {"Cache_Control": "No-Store"}]
)
def test_without_a_version_it_is_sent_again(pages: Site, fetch, headers: dict[str, str]) -> None:
    for body in (b"one", b"two"):
        pages.pages["/a"] = Shelf(body, "" if "Cache_Control" not in headers else '"1"', **headers)
        assert fetch("/a").read_bytes() == body
    assert conditions(pages) == [{}, {}]


def test_what_is_not_to_be_stored_is_not(pages: Site, cache: Path, fetch) -> None:
    pages.pages["/a"] = Shelf(b"one", Cache_Control="private, No-Store")
    assert fetch("/a").read_bytes() == b"one"
    assert not cache.exists()


def test_a_version_that_is_not_told_any_more_is_forgotten(pages: Site, fetch) -> None:
    pages.pages["/a"] = Shelf(b"one")
    fetch("/a")
    pages.pages["/a"] = Shelf(b"two", "")
    assert [fetch("/a").read_bytes() for _ in range(2)] == [b"two", b"two"]
    assert conditions(pages)[2] == {}


def test_the_same_content_is_kept_once(pages: Site, cache: Path, fetch) -> None:
    pages.pages |= {"/a.mp3": Shelf(b"one"), "/b.wav": Shelf(b"one", '"other"'), "/c": Shelf(b"one", "")}
    found = [fetch(path) for path in ("/a.mp3", "/b.wav", "/c", "/a.mp3", "/b.wav")]
    assert [path.name for path in found] == ["a.mp3", "b.wav", "c", "a.mp3", "b.wav"]
    assert len(bodies(cache)) == 1
    # The disk has it once, too.
    assert found[3].samefile(bodies(cache)[0])


def test_addresses_differ_by_their_queries(pages: Site, fetch) -> None:
    shelves = {"id=1": Shelf(b"one"), "id=2": Shelf(b"two")}
    pages.pages["/a"] = lambda reader: shelves[reader.path.partition("?")[2]](reader)
    assert [fetch(f"/a?id={number}").read_bytes() for number in (1, 2, 1)] == [b"one", b"two", b"one"]


def test_the_cache_does_not_tell_addresses(pages: Site, cache: Path, fetch) -> None:
    pages.pages["/private/voice.mp3"] = Shelf(b"one")
    fetch("/private/voice.mp3?signature=secret")
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert len(files) == 2
    told = "\n".join([*map(str, files), *(path.read_text() for path in files)])
    assert [word for word in ("secret", "private", "voice", "127.0.0.1", "signature") if word in told] == []


@pytest.mark.parametrize("harm", [b"s0und", b"soun", b"sound.", None])
def test_what_is_damaged_is_fetched_again(pages: Site, cache: Path, fetch, harm: bytes | None) -> None:
    pages.pages["/a.mp3"] = Shelf(b"sound")
    fetch("/a.mp3")
    (body,) = bodies(cache)
    body.unlink() if harm is None else body.write_bytes(harm)
    assert fetch("/a.mp3").read_bytes() == fetch("/a.mp3").read_bytes() == b"sound"
    asked = {"if-none-match": '"1"'}
    assert conditions(pages) == [{}, asked, {}, asked]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"sha256": "../../a", "bytes": 3, "source": "", "etag": "x"}']
)
def test_damaged_notes_are_none(pages: Site, cache: Path, fetch, text: str) -> None:
    pages.pages["/a"] = Shelf(b"one")
    fetch("/a")
    (note,) = (cache / "notes").iterdir()
    note.write_text(text)
    assert fetch("/a").read_bytes() == fetch("/a").read_bytes() == b"one"
    assert [bool(sent) for sent in conditions(pages)] == [False, False, True]


def test_not_modified_is_not_believed_of_another_address(pages: Site, fetch) -> None:
    # Its targets answer by date only, and the second is the older one.
    for name, modified in (("new", "Tue, 02 Jan 2024 00:00:00 GMT"), ("old", OLD)):
        pages.pages[f"/{name}"] = lambda reader, name=name, modified=modified: (
            reader.begin(304)
            if "If-Modified-Since" in reader.headers
            else reader.answer(body=name.encode(), Last_Modified=modified)
        )
    leads_to = ["/new", "/old", "/old"]
    pages.pages["/a"] = lambda reader: reader.answer(302, Location=leads_to[0])
    assert fetch("/a").read_bytes() == b"new"
    leads_to.pop(0)
    assert fetch("/a").read_bytes() == fetch("/a").read_bytes() == b"old"
    assert [path for path, _ in pages.asked] == ["/a", "/new", "/a", "/old", "/a", "/old", "/a", "/old"]


def test_not_modified_that_nobody_asked_for_is_an_error(pages: Site, fetch) -> None:
    pages.pages["/a"] = lambda reader: reader.begin(304, ETag='"1"')
    with pytest.raises(DownloadError, match="answers with HTTP status 304"):
        fetch("/a")
    pages.pages["/a"] = Shelf(b"one")
    fetch("/a")
    pages.pages["/a"] = lambda reader: reader.begin(304)
    assert fetch("/a").read_bytes() == b"one"


@pytest.mark.parametrize("status", [404, 412, 500])
def test_errors_are_not_answered_from_the_cache(pages: Site, fetch, status: int) -> None:
    pages.pages["/a"] = Shelf(b"one")
    fetch("/a")
    pages.pages["/a"] = lambda reader: reader.answer(status)
    with pytest.raises(DownloadError, match=f"HTTP status {status}"):
        fetch("/a")


def test_what_is_kept_is_refused_like_the_rest(pages: Site, fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    pages.pages["/a"] = Shelf(b"one")
    fetch("/a")
    monkeypatch.delenv(ALLOW_PRIVATE)
    with pytest.raises(DownloadError, match="leads to a private address"):
        fetch("/a")
    assert len(pages.asked) == 1


@pytest.mark.parametrize("bound", [4, 2**20])
def test_what_broke_off_is_not_kept(
    pages: Site, cache: Path, fetch, monkeypatch: pytest.MonkeyPatch, bound: int
) -> None:
    monkeypatch.setattr(downloads, "MAX_BYTES", bound)
    pages.pages["/a"] = lambda reader: reader.answer(body=b"sound", ETag='"1"', Content_Length="9")
    with pytest.raises(DownloadError, match="larger than" if bound == 4 else "broke off"):
        fetch("/a")
    assert not cache.exists()


def test_what_was_used_longest_ago_goes(
    pages: Site, cache: Path, fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CACHE_BYTES", 3000)
    for name in "abcd":
        pages.pages[f"/{name}"] = Shelf(name.encode() * 1000)
    given = {name: fetch(f"/{name}") for name in "abc"}
    fetch("/a")
    given["d"] = fetch("/d")
    kept = {path.read_bytes()[:1].decode() for path in bodies(cache)}
    assert kept == {"a", "c", "d"}
    assert {name: path.read_bytes() for name, path in given.items()} == {n: n.encode() * 1000 for n in "abcd"}
    # What has gone is fetched again, although the server would say that it has not changed.
    assert fetch("/b").read_bytes() == b"b" * 1000
    assert sum(path.stat().st_size for path in bodies(cache)) <= 3000


def test_notes_are_bounded(pages: Site, cache: Path, fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NOTES", 3)
    pages.pages["/a"] = Shelf(b"one")
    for number in range(5):
        fetch(f"/a?signature={number}")
    assert len(list((cache / "notes").iterdir())) == 3
    assert len(bodies(cache)) == 1


def test_a_cache_that_cannot_be_written_is_done_without(
    pages: Site, cache: Path, fetch, caplog: pytest.LogCaptureFixture
) -> None:
    cache.write_text("a file in its place")
    pages.pages["/a"] = Shelf(b"one")
    assert fetch("/a").read_bytes() == fetch("/a").read_bytes() == b"one"
    assert "A download cannot be kept in the cache: Not a directory" in caplog.text


def test_threads_share_a_cache(
    pages: Site, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CACHE_BYTES", 250_000)
    for number in range(4):
        pages.pages[f"/{number}"] = Shelf(bytes([number]) * 100_000, f'"{number}"')

    def fetch(number: int) -> tuple[int, bytes]:
        folder = tmp_path / f"job {number}"
        folder.mkdir()
        return number % 4, download(f"{pages.url}/{number % 4}", folder, cache=cache).read_bytes()

    with ThreadPoolExecutor(8) as pool:
        for number, body in pool.map(fetch, range(120)):
            assert body == bytes([number]) * 100_000
    assert len(bodies(cache)) == 2
    assert all(path.name == hashlib.sha256(path.read_bytes()).hexdigest() for path in bodies(cache))


def _download_again_and_again(url: str, folder: Path, cache: Path) -> None:
    os.environ[ALLOW_PRIVATE] = "1"
    for number in range(10**6):
        own = folder / str(number)
        own.mkdir()
        download(f"{url}/{number % 7}", own, cache=cache)


def test_a_kill_leaves_a_cache_that_works(pages: Site, cache: Path, tmp_path: Path, fetch) -> None:
    for number in range(7):
        pages.pages[f"/{number}"] = Shelf(bytes([number]) * 300_000, f'"{number}"')
    for round in range(6):
        folder = tmp_path / f"round {round}"
        folder.mkdir()
        before = len(pages.asked)
        process = multiprocessing.get_context("spawn").Process(
            target=_download_again_and_again, args=(pages.url, folder, cache)
        )
        process.start()
        while len(pages.asked) < before + 5 + round:
            assert process.is_alive()
            process.join(0.01)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        for path in bodies(cache):
            if len(path.name) == 64:
                assert path.name == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [fetch(f"/{number}").read_bytes() for number in range(7)] == [
        bytes([n]) * 300_000 for n in range(7)
    ]


def test_a_cache_on_another_disk_has_copies(pages: Site, tmp_path: Path) -> None:
    pages.pages["/a.mp3"] = Shelf(b"sound")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        if Path(elsewhere).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm is on the same disk as the tests")
        for _ in range(2):
            assert download(f"{pages.url}/a.mp3", tmp_path, cache=Path(elsewhere)).read_bytes() == b"sound"
        assert [bool(sent) for sent in conditions(pages)] == [False, True]
        assert len(bodies(Path(elsewhere))) == 1


def test_sites_with_the_same_path_are_two(pages: Site, fetch) -> None:
    pages.pages["/a"] = Shelf(b"one")
    with site() as other:
        other.pages["/a"] = Shelf(b"two")
        assert [fetch("/a").read_bytes(), fetch("/a", other).read_bytes()] == [b"one", b"two"]
