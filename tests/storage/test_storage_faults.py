"""The store on a real S3 server that fails or refuses as the test wants."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from driver.storage import s3
from driver.storage.s3 import S3Store
from driver.storage.store import StorageError
from tests.s3_server import READER_KEY, READER_SECRET, SECRET_KEY, Proxy, S3Server
from tests.storage.tools import KEY, LARGE, make


@pytest.mark.parametrize("size", [1000, LARGE])
def test_503_for_a_while_is_survived(proxy: Proxy, open_store, tmp_path: Path, size: int) -> None:
    store = open_store(proxy.url)
    proxy.refusals = 4
    stored = store.upload(make(tmp_path / "a", size), KEY)
    assert proxy.refusals == 0
    proxy.refusals = 4
    assert store.download(KEY, tmp_path / "b") == stored
    assert proxy.refusals == 0


@pytest.mark.parametrize("refusals", [2, 5])
def test_a_small_upload_is_sent_again_after_503(
    proxy: Proxy, open_store, tmp_path: Path, refusals: int
) -> None:
    store = open_store(proxy.url)
    proxy.refusals = refusals
    stored = store.upload(make(tmp_path / "a"), KEY)
    assert [asked.split()[0] for asked in proxy.asked] == ["PUT"] * (refusals + 1) + ["HEAD"] * 2
    assert store.download(KEY, tmp_path / "b") == stored


@pytest.mark.parametrize("size", [1000, LARGE])
def test_a_refusal_after_503_is_reported(proxy: Proxy, open_store, tmp_path: Path, size: int) -> None:
    store = open_store(proxy.url, access_key_id=READER_KEY, secret_access_key=READER_SECRET)
    proxy.refusals = 2
    with pytest.raises(
        StorageError, match=f"^{KEY} cannot be stored in the bucket films: the access key may not"
    ):
        store.upload(make(tmp_path / "a", size), KEY)
    # A refused request is not repeated.
    assert proxy.refusals == 0 and len(proxy.asked) == 3
    assert store.find(KEY) is None


def test_endless_503_is_reported(
    proxy: Proxy, open_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "ATTEMPTS", 4)
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


def test_after_an_outage_requests_are_retried_as_before(proxy: Proxy, open_store, tmp_path: Path) -> None:
    store = open_store(proxy.url)
    stored = store.upload(make(tmp_path / "a"), KEY)
    proxy.refusals = -1
    # boto3's own retries share a budget of 100 for all requests.
    for _ in range(10):
        with pytest.raises(StorageError, match=r"503, 12 times"):
            store.find(KEY)
    for refusals in (1, 5, 11):
        proxy.refusals = refusals
        assert store.find(KEY) == stored
        assert proxy.refusals == 0


def test_a_large_upload_gives_up_on_endless_503(
    server: S3Server, proxy: Proxy, open_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "ATTEMPTS", 2)
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


def test_a_connection_that_always_breaks_is_reported(proxy: Proxy, open_store, tmp_path: Path) -> None:
    store = open_store(proxy.url)
    store.upload(make(tmp_path / "a", 10 * 2**20), KEY)
    proxy.cuts = -1
    with pytest.raises(StorageError, match="cannot be fetched from .*: there is no connection, or it broke"):
        store.download(KEY, tmp_path / "b")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_slow_responses_are_waited_for(proxy: Proxy, open_store, tmp_path: Path) -> None:
    proxy.seconds = 0.8
    stored = open_store(proxy.url).upload(make(tmp_path / "a"), KEY)
    assert stored.bytes == 1000


def test_damage_in_transit_is_noticed(proxy: Proxy, open_store, tmp_path: Path) -> None:
    store = open_store(proxy.url)
    proxy.flips = 1
    with pytest.raises(StorageError, match=f"^{KEY} arrived damaged in the bucket films: try again"):
        store.upload(make(tmp_path / "a"), KEY)
    store.upload(tmp_path / "a", KEY)
    store.download(KEY, tmp_path / "b")


def test_with_unknown_etags_the_file_is_read_back(
    proxy: Proxy, open_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_etag", lambda path: "encrypted")
    store = open_store(proxy.url)
    store.upload(make(tmp_path / "a"), KEY)
    assert [asked.split()[0] for asked in proxy.asked] == ["PUT", "HEAD", "HEAD", "HEAD", "GET"]
    proxy.flips = 1
    with pytest.raises(StorageError, match="arrived damaged"):
        store.upload(make(tmp_path / "a"), KEY)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"access_key_id": "unknown"}, "BUCKET_ACCESS_KEY_ID is not known there"),
        ({"secret_access_key": "very/wrong+secret"}, "BUCKET_SECRET_ACCESS_KEY is wrong"),
        ({"name": "elsewhere"}, "there is no such bucket: create it, or check BUCKET_NAME"),
    ],
)
def test_wrong_settings_are_reported_by_every_method(
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


def test_an_unreachable_server_is_reported(open_store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "ATTEMPTS", 3)
    with pytest.raises(StorageError, match=r"there is no connection, .*\. Check BUCKET_ENDPOINT_URL"):
        open_store("http://127.0.0.1:9").find(KEY)


def test_secrets_stay_secret(
    proxy: Proxy,
    open_store,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(s3, "ATTEMPTS", 2)
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
