"""The stores against a real S3 server over HTTP, which also fails as it is told, and against a folder."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import random
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import requests

from driver import storage
from driver.problems import Problems
from driver.server import _SECRET
from driver.storage import Bucket, FolderStore, NotStored, S3Store, StorageError, Store, from_environment
from tests.s3_server import (
    ACCESS_KEY,
    BUCKET,
    READER_KEY,
    READER_SECRET,
    SECRET_KEY,
    Proxy,
    S3Server,
    s3_server,
)

KEY = "StoryStudio/img_20251204_123456.png"
LARGE = 32 * 2**20 + 7
"""Three parts."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def proxy(server: S3Server) -> Iterator[Proxy]:
    with server.proxy() as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Bucket.model_fields:
        monkeypatch.delenv(f"BUCKET_{name.upper()}", raising=False)


@pytest.fixture
def open_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Sets the environment up for a server, or for none, and gives the store."""

    def open_store(url: str | None, **settings: str) -> Store:
        if url:
            # A prefix of its own keeps the tests of one server apart.
            found = {"endpoint_url": url, "access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
            found |= {"name": BUCKET, "prefix": tmp_path.name, **settings}
            for name, value in found.items():
                monkeypatch.setenv(f"BUCKET_{name.upper()}", value)
        return from_environment(tmp_path / "kept")

    return open_store


@pytest.fixture(params=["s3", "folder"])
def store(request: pytest.FixtureRequest, open_store) -> Store:
    return open_store(request.getfixturevalue("server").url if request.param == "s3" else None)


@pytest.fixture
def damage(server: S3Server, tmp_path: Path):
    """Replaces what has a key by something of the same size, behind the store's back."""

    def damage(store: Store, key: str) -> None:
        if isinstance(store, FolderStore):
            path = tmp_path / "kept" / key
            path.write_bytes(bytes(path.stat().st_size))
            return
        name = f"{tmp_path.name}/{key}"
        head = server.client.head_object(Bucket=BUCKET, Key=name)
        body = bytes(head["ContentLength"])
        server.client.put_object(Bucket=BUCKET, Key=name, Body=body, Metadata=head["Metadata"])

    return damage


def make(path: Path, size: int = 1000) -> Path:
    path.write_bytes(random.Random(size).randbytes(size))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("size", [0, 1000, LARGE])
def test_a_file_comes_back_as_it_was(store: Store, tmp_path: Path, size: int) -> None:
    path, target = make(tmp_path / "made.mp4", size), tmp_path / "another" / "place.mp4"
    stored = store.upload(path, "VideoGen/20251204_s2v_480p.mp4")
    assert stored == ("VideoGen/20251204_s2v_480p.mp4", size, sha256(path))
    assert store.find(stored.key) == stored
    assert store.download(stored.key, target) == stored
    assert target.read_bytes() == path.read_bytes()
    assert [file.name for file in target.parent.iterdir()] == ["place.mp4"]


def test_the_same_key_has_the_last_content(store: Store, tmp_path: Path) -> None:
    store.upload(make(tmp_path / "a", 10), KEY)
    second = store.upload(make(tmp_path / "b", 20), KEY)
    assert store.download(KEY, tmp_path / "c") == second
    assert (tmp_path / "c").read_bytes() == (tmp_path / "b").read_bytes()


def test_keys_are_listed_by_folder(store: Store, tmp_path: Path) -> None:
    keys = [
        "StoryStudio/tale/scene_1_img.png",
        "StoryStudio/tale/manifest.json",
        "StoryStudio/tale2/film.mp4",
    ]
    assert store.keys() == store.keys("StoryStudio") == []
    for key in keys:
        store.upload(make(tmp_path / "a"), key)
    assert store.keys() == store.keys("StoryStudio") == sorted(keys)
    assert store.keys("StoryStudio/tale") == sorted(keys[:2])
    assert store.keys("StoryStudio/tale/manifest.json") == []


def test_more_keys_than_a_page_holds_are_listed(server: S3Server, open_store, tmp_path: Path) -> None:
    store = open_store(server.url)
    for number in range(1005):
        server.client.put_object(Bucket=BUCKET, Key=f"{tmp_path.name}/{number}", Body=b"")
    assert len(store.keys()) == 1005


def test_what_is_missing_is_said(store: Store, tmp_path: Path) -> None:
    assert store.find("StoryStudio/nothing.png") is None
    with pytest.raises(
        NotStored, match=r"^StoryStudio/nothing.png is not in the (bucket films|local folder)\.$"
    ):
        store.download("StoryStudio/nothing.png", tmp_path / "nothing.png")
    assert not (tmp_path / "nothing.png").exists()


def test_a_damaged_file_is_not_taken(store: Store, damage, tmp_path: Path) -> None:
    store.upload(make(tmp_path / "a"), KEY)
    damage(store, KEY)
    target = make(tmp_path / "there before", 5)
    with pytest.raises(NotStored, match="is damaged: delete it there"):
        store.download(KEY, target)
    assert target.stat().st_size == 5
    assert not [*tmp_path.glob(".*")]
    store.upload(tmp_path / "a", KEY)
    store.download(KEY, target)


def test_a_file_of_another_program_can_be_fetched(server: S3Server, open_store, tmp_path: Path) -> None:
    server.client.put_object(Bucket=BUCKET, Key=f"{tmp_path.name}/voice.mp3", Body=b"sound")
    stored = open_store(server.url).download("voice.mp3", tmp_path / "voice.mp3")
    assert stored == ("voice.mp3", 5, sha256(tmp_path / "voice.mp3"))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/../b",
        ".sha256/a",
        "a\\b",
        "a\nb",
        "\ud800",
        "x" * 256,
        "x/" * 450 + "x",
    ],
)
def test_keys_stay_in_the_store(store: Store, key: str, tmp_path: Path) -> None:
    for use in (store.find, store.url, lambda key: store.upload(make(tmp_path / "a"), key)):
        with pytest.raises(NotStored, match="is no file of a store"):
            use(key)


@pytest.mark.parametrize("key", ["a b/ä (1)+%41 & c?#=.png", "日本/語.mp4"])
def test_unusual_keys_work(store: Store, key: str, tmp_path: Path) -> None:
    store.upload(make(tmp_path / "a"), key)
    assert store.keys() == [key]
    assert store.download(key, tmp_path / "b").bytes == 1000
    url = store.url(key)
    data = (
        requests.get(url).content
        if url.startswith("http")
        else Path(unquote(urlsplit(url).path)).read_bytes()
    )
    assert data == (tmp_path / "a").read_bytes()


@pytest.mark.parametrize(
    ("name", "lasting", "content_type", "cache"),
    [
        ("img.png", True, "image/png", "private, max-age=31536000, immutable"),
        ("clip.mp4", True, "video/mp4", "private, max-age=31536000, immutable"),
        ("manifest.json", False, "application/json", "no-cache"),
        ("sheet.jpg", False, "image/jpeg", "no-cache"),
        ("voice.wav", False, "audio/wav", "no-cache"),
        ("what", False, "application/octet-stream", "no-cache"),
    ],
)
def test_a_signed_address_gives_the_file_with_its_headers(
    server: S3Server, open_store, tmp_path: Path, name: str, lasting: bool, content_type: str, cache: str
) -> None:
    store = open_store(server.url)
    # Sent in parts, they have them too.
    path = make(tmp_path / "a", storage._PART + 1 if name == "clip.mp4" else 1000)
    store.upload(path, name, lasting=lasting)
    assert requests.get(f"{server.url}/{BUCKET}/{tmp_path.name}/{name}").status_code == 403
    answer = requests.get(store.url(name))
    assert answer.content == path.read_bytes()
    assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == (content_type, cache)


def test_a_signed_address_ends(server: S3Server, open_store, tmp_path: Path) -> None:
    store = open_store(server.url, link_seconds="1")
    store.upload(make(tmp_path / "a"), KEY)
    url = store.url(KEY)
    time.sleep(2.1)
    answer = requests.get(url)
    assert answer.status_code == 403 and "expired" in answer.text


def test_a_public_address_gives_the_file(server: S3Server, open_store, tmp_path: Path) -> None:
    everyone = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",'
    )
    everyone += f'"Resource":"arn:aws:s3:::{BUCKET}/{tmp_path.name}/public/*"}}]}}'
    server.client.put_bucket_policy(Bucket=BUCKET, Policy=everyone)
    store = open_store(server.url, prefix=f"/{tmp_path.name}/public/", public_url=f"{server.url}/{BUCKET}/")
    store.upload(make(tmp_path / "a"), KEY, lasting=True)
    assert store.url(KEY) == f"{server.url}/{BUCKET}/{tmp_path.name}/public/{KEY}"
    answer = requests.get(store.url(KEY))
    assert answer.content == (tmp_path / "a").read_bytes()
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_without_settings_addresses_are_of_files(open_store, tmp_path: Path) -> None:
    store = open_store(None)
    store.upload(make(tmp_path / "a"), "VideoGen/a b.mp4")
    assert store.url("VideoGen/a b.mp4") == (tmp_path / "kept" / "VideoGen" / "a b.mp4").as_uri()


@pytest.mark.parametrize("size", [1000, LARGE])
def test_503_for_a_while_is_survived(proxy: Proxy, open_store, tmp_path: Path, size: int) -> None:
    store = open_store(proxy.url)
    proxy.refusals = 4
    stored = store.upload(make(tmp_path / "a", size), KEY)
    assert proxy.refusals == 0
    proxy.refusals = 4
    assert store.download(KEY, tmp_path / "b") == stored
    assert proxy.refusals == 0


def test_503_forever_is_said(
    proxy: Proxy, open_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "ATTEMPTS", 4)
    store = open_store(proxy.url)
    uses = {
        "cannot be stored in": lambda: store.upload(make(tmp_path / "a"), KEY),
        "cannot be looked up in": lambda: store.find(KEY),
        "The files cannot be listed in": lambda: store.keys(),
    }
    proxy.refusals = -1
    for said, use in uses.items():
        proxy.asked.clear()
        with pytest.raises(StorageError, match=rf"{said} the bucket films: it is overloaded .*503, 4 times"):
            use()
        assert len(proxy.asked) == 4


def test_a_large_file_is_given_up_when_503_goes_on(
    server: S3Server, proxy: Proxy, open_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "ATTEMPTS", 2)
    store = open_store(proxy.url)
    path = make(tmp_path / "a", LARGE)
    proxy.refusals = -1
    with pytest.raises(StorageError, match="cannot be stored .* overloaded"):
        store.upload(path, KEY)
    proxy.refusals = 0
    assert store.find(KEY) is None


def test_cut_connections_are_survived(proxy: Proxy, open_store, tmp_path: Path) -> None:
    store = open_store(proxy.url)
    proxy.cuts = 2
    stored = store.upload(make(tmp_path / "a", LARGE), KEY)
    assert proxy.cuts == 0
    assert any("partNumber=3" in asked for asked in proxy.asked)
    proxy.cuts = 2
    assert store.download(KEY, tmp_path / "b") == stored
    assert proxy.cuts == 0
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()


def test_a_connection_that_always_breaks_is_said(proxy: Proxy, open_store, tmp_path: Path) -> None:
    store = open_store(proxy.url)
    store.upload(make(tmp_path / "a", 10 * 2**20), KEY)
    proxy.cuts = -1
    with pytest.raises(StorageError, match="cannot be fetched from .*: there is no connection, or it breaks"):
        store.download(KEY, tmp_path / "b")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_slow_answers_are_waited_for(proxy: Proxy, open_store, tmp_path: Path) -> None:
    proxy.seconds = 0.8
    stored = open_store(proxy.url).upload(make(tmp_path / "a"), KEY)
    assert stored.bytes == 1000


def test_what_is_damaged_on_its_way_is_noticed(proxy: Proxy, open_store, tmp_path: Path) -> None:
    store = open_store(proxy.url)
    proxy.flips = 1
    with pytest.raises(
        StorageError, match=f"^{KEY} is in the bucket films, but not as it was sent: try again"
    ):
        store.upload(make(tmp_path / "a"), KEY)
    store.upload(tmp_path / "a", KEY)
    store.download(KEY, tmp_path / "b")


def test_a_server_with_other_etags_is_asked_for_the_file(
    proxy: Proxy, open_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_etag", lambda path: "encrypted")
    store = open_store(proxy.url)
    store.upload(make(tmp_path / "a"), KEY)
    assert [asked.split()[0] for asked in proxy.asked] == ["PUT", "HEAD", "HEAD", "HEAD", "GET"]
    proxy.flips = 1
    with pytest.raises(StorageError, match="but not as it was sent"):
        store.upload(make(tmp_path / "a"), KEY)


@pytest.mark.parametrize("size", [0, 1, storage._PART - 1, storage._PART, storage._PART + 1])
def test_servers_agree_on_etags(server: S3Server, open_store, tmp_path: Path, size: int) -> None:
    open_store(server.url).upload(make(tmp_path / "a", size), KEY)
    head = server.client.head_object(Bucket=BUCKET, Key=f"{tmp_path.name}/{KEY}")
    assert head["ETag"] == f'"{storage._etag(tmp_path / "a")}"'


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"access_key_id": "unknown"}, "BUCKET_ACCESS_KEY_ID is not known there"),
        ({"secret_access_key": "very/wrong+secret"}, "BUCKET_SECRET_ACCESS_KEY is wrong"),
        ({"name": "elsewhere"}, "there is no such bucket: create it, or check BUCKET_NAME"),
    ],
)
def test_wrong_settings_are_said_by_every_use(
    server: S3Server, open_store, tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    store = open_store(server.url, **settings)
    for use in (
        lambda: store.upload(make(tmp_path / "small"), KEY),
        lambda: store.upload(make(tmp_path / "large", LARGE), KEY),
        lambda: store.find(KEY),
        lambda: store.keys(),
        lambda: store.download(KEY, tmp_path / "b"),
    ):
        with pytest.raises(StorageError, match=said):
            use()


def test_a_key_that_may_only_read_reads(server: S3Server, open_store, tmp_path: Path) -> None:
    stored = open_store(server.url).upload(make(tmp_path / "a"), KEY)
    reader = open_store(server.url, access_key_id=READER_KEY, secret_access_key=READER_SECRET)
    assert reader.download(KEY, tmp_path / "b") == stored
    with pytest.raises(
        StorageError, match="the access key may not do that: allow it to read, write and list"
    ):
        reader.upload(tmp_path / "a", KEY)


def test_a_server_that_is_not_there_is_said(open_store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "ATTEMPTS", 3)
    with pytest.raises(StorageError, match=r"there is no connection, .*\. Check BUCKET_ENDPOINT_URL"):
        open_store("http://127.0.0.1:9").find(KEY)


def test_a_full_disk_is_said(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.upload(make(tmp_path / "a"), KEY)

    def on_a_full_disk(target: Path) -> Path:
        aside = tmp_path / "aside"
        aside.symlink_to("/dev/full")
        return aside

    monkeypatch.setattr(storage, "_beside", on_a_full_disk)
    with pytest.raises(StorageError, match=r"^b.png cannot be written: the disk is full. Free some space"):
        store.download(KEY, tmp_path / "b.png")
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["a"]


def test_a_folder_that_cannot_be_written_is_said(open_store, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file in its place")
    with pytest.raises(StorageError, match=f"cannot be written: {os.strerror(errno.ENOTDIR)}"):
        open_store(None).upload(make(tmp_path / "a"), KEY)


def test_a_second_worker_with_an_empty_disk_goes_on(store: Store, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    names = ["stills/one.png", "clips/one.mp4", "clips/two.mp4"]
    for number, name in enumerate(names):
        (first / name).parent.mkdir(parents=True, exist_ok=True)
        store.upload(make(first / name, 1000 + number), f"checkpoints/{name}")
    for key in store.keys("checkpoints"):
        store.download(key, second / key.removeprefix("checkpoints/"))
    assert {name: sha256(first / name) for name in names} == {name: sha256(second / name) for name in names}


def test_threads_share_a_store(store: Store, tmp_path: Path) -> None:
    paths = [make(tmp_path / f"{number}", 1000 + number) for number in range(8)]
    threads = [threading.Thread(target=store.upload, args=(path, f"threads/{path.name}")) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key: store.download(key, tmp_path / "x").bytes for key in store.keys("threads")} == {
        f"threads/{path.name}": path.stat().st_size for path in paths
    }


def test_memory_does_not_grow_with_the_file(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(96 * 2**20)
    store.upload(make(tmp_path / "small"), KEY)
    tracemalloc.start()
    store.upload(path, KEY)
    store.download(KEY, tmp_path / "back")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"endpoint_url": "https://s3.example"},
            [
                "BUCKET_ACCESS_KEY_ID: is not set, but BUCKET_ENDPOINT_URL is",
                "BUCKET_SECRET_ACCESS_KEY: is not set, but",
                "BUCKET_NAME: is not set, but",
            ],
        ),
        ({"prefix": "films"}, ["BUCKET_ENDPOINT_URL: is not set, but BUCKET_PREFIX is"]),
        ({"name": "x"}, ["BUCKET_NAME: is wrong: give the bucket", "BUCKET_ENDPOINT_URL: is not set"]),
        (
            {"endpoint_url": "minio:9000"},
            ["BUCKET_ENDPOINT_URL: is wrong: give the server's address, like https"],
        ),
        ({"endpoint_url": "https://me:hidden@host"}, ["BUCKET_ENDPOINT_URL: is wrong"]),
        (
            {"public_url": "www.example.com"},
            ["BUCKET_PUBLIC_URL: is wrong: give the address from which everyone"],
        ),
        ({"prefix": "a/../b"}, ["BUCKET_PREFIX: is wrong: give a folder of the bucket"]),
        (
            {"link_seconds": "604801"},
            ["BUCKET_LINK_SECONDS: is wrong: give how long a signed address works: 1 to"],
        ),
        ({"link_seconds": "a day", "secret_access_key": "hidden"}, ["BUCKET_LINK_SECONDS: is wrong"]),
    ],
)
def test_settings_are_checked_all_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], said: list[str]
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"BUCKET_{name.upper()}", value)
    with pytest.raises(Problems) as caught:
        from_environment(tmp_path)
    assert [one for one in said if one not in str(caught.value)] == []
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "server", "name", "region"),
    [
        (
            "https://films.s3.eu-west-1.amazonaws.com",
            "https://s3.eu-west-1.amazonaws.com",
            "films",
            "eu-west-1",
        ),
        ("https://a.films.s3.amazonaws.com/", "https://s3.amazonaws.com", "a.films", "us-east-1"),
        (
            "https://account.r2.cloudflarestorage.com/films",
            "https://account.r2.cloudflarestorage.com",
            "films",
            "us-east-1",
        ),
        (
            "https://s3.us-west-004.backblazeb2.com/films/",
            "https://s3.us-west-004.backblazeb2.com",
            "films",
            "us-west-004",
        ),
    ],
)
def test_the_address_may_name_the_bucket(
    open_store, address: str, server: str, name: str, region: str
) -> None:
    bucket = open_store(address, name="")._bucket
    assert (bucket.endpoint_url, bucket.name, bucket.region) == (server, name, region)
    again = open_store(address, name=name, region="auto")._bucket
    assert (again.endpoint_url, again.name, again.region) == (server, name, "auto")


def test_the_address_of_a_bucket_works(server: S3Server, open_store, tmp_path: Path) -> None:
    open_store(f"{server.url}/{BUCKET}", name="").upload(make(tmp_path / "a"), KEY)
    assert open_store(server.url).keys() == [KEY]


def test_settings_of_spaces_are_none(open_store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUCKET_ENDPOINT_URL", "  ")
    assert isinstance(open_store(None), FolderStore)


def test_secrets_stay_secret(
    proxy: Proxy,
    open_store,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(storage, "ATTEMPTS", 2)
    shown: list[str] = []
    for settings in ({}, {"secret_access_key": "very/wrong+secret"}, {"name": "elsewhere"}):
        store = open_store(proxy.url, **settings)
        assert isinstance(store, S3Store)
        shown += [repr(store), str(store), repr(store._bucket), str(vars(store))]
        try:
            store.upload(make(tmp_path / "a"), KEY)
            proxy.refusals = -1
            store.find(KEY)
        except StorageError as error:
            shown += [str(error), repr(error), repr(error.__cause__)]
            assert error.__suppress_context__
        proxy.refusals = 0
    text = "\n".join([*shown, caplog.text, *(entry.getMessage() for entry in caplog.records)])
    assert len(shown) == 3 * 7
    assert SECRET_KEY not in text
    assert "very/wrong+secret" not in text
    assert "Signature=" not in "\n".join(shown)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not [file for file in files if SECRET_KEY.encode() in file.read_bytes()]


def test_comfyui_does_not_see_the_settings() -> None:
    assert all(_SECRET.search(f"BUCKET_{name.upper()}") for name in Bucket.model_fields)
