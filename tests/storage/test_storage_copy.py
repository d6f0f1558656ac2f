"""Copies: a second key for a stored file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from driver.storage import s3
from driver.storage.folder import FolderStore
from driver.storage.store import NotStored, StorageError, Store
from tests.s3_server import BUCKET, READER_KEY, READER_SECRET, Proxy, S3Server
from tests.storage.tools import KEY, LARGE, make, sha256

SECOND = "StoryStudio/tale/scene_1_img.png"


@pytest.mark.parametrize("size", [0, 1000, LARGE])
def test_a_copy_is_the_file(store: Store, tmp_path: Path, size: int) -> None:
    stored = store.upload(make(tmp_path / "a", size), KEY)
    store.copy(KEY, SECOND)
    assert store.keys() == sorted([KEY, SECOND])
    assert store.find(SECOND) == store.download(SECOND, tmp_path / "b") == stored._replace(key=SECOND)
    assert sha256(tmp_path / "b") == stored.sha256
    assert store.find(KEY) == stored


def test_a_copy_replaces_the_file_with_its_key(store: Store, tmp_path: Path) -> None:
    first, second = make(tmp_path / "a", 10), make(tmp_path / "b", 20)
    store.upload(first, KEY)
    store.upload(second, SECOND)
    store.copy(KEY, SECOND)
    assert store.download(SECOND, tmp_path / "c").sha256 == sha256(first)
    # The copies are independent files.
    store.upload(second, KEY)
    assert store.download(SECOND, tmp_path / "c").sha256 == sha256(first)
    assert store.download(KEY, tmp_path / "c").sha256 == sha256(second)


def test_a_copy_onto_itself_changes_nothing(store: Store, tmp_path: Path) -> None:
    stored = store.upload(make(tmp_path / "a"), KEY)
    store.copy(KEY, KEY)
    assert store.download(KEY, tmp_path / "b") == stored


def test_a_missing_file_is_not_copied(store: Store) -> None:
    for key in (SECOND, "StoryStudio/nothing.png"):
        with pytest.raises(NotStored, match=r"^StoryStudio/nothing.png is not in the (bucket|local folder)"):
            store.copy("StoryStudio/nothing.png", key)
    assert store.keys() == []


def test_copies_stay_in_the_store(store: Store, tmp_path: Path) -> None:
    store.upload(make(tmp_path / "a"), KEY)
    for source, key in ((KEY, "../a"), (KEY, ""), ("../a", KEY)):
        with pytest.raises(NotStored, match="is not a valid key"):
            store.copy(source, key)
    assert store.keys() == [KEY]


@pytest.mark.parametrize("size", [1000, LARGE])
@pytest.mark.parametrize("lasting", [True, False])
def test_a_copy_has_the_headers(
    server: S3Server, open_store, tmp_path: Path, size: int, lasting: bool
) -> None:
    store = open_store(server.url)
    store.upload(make(tmp_path / "a", size), KEY, lasting=lasting)
    store.copy(KEY, "second")
    heads = [
        server.client.head_object(Bucket=BUCKET, Key=f"{tmp_path.name}/{key}") for key in (KEY, "second")
    ]
    for name in ("ContentType", "CacheControl", "Metadata", "ContentLength"):
        assert heads[0][name] == heads[1][name]
    assert heads[1]["ContentType"] == "image/png"
    assert ("immutable" in heads[1]["CacheControl"]) == lasting


@pytest.mark.parametrize("key", ["a b/ä (1)+%41 & c?#=.png", "日本/語.mp4"])
def test_copies_of_unusual_keys_work(store: Store, key: str, tmp_path: Path) -> None:
    store.upload(make(tmp_path / "a"), key)
    store.copy(key, f"second/{key}")
    assert store.download(f"second/{key}", tmp_path / "b").sha256 == sha256(tmp_path / "a")


def test_a_file_of_another_program_can_be_copied(store: Store, server: S3Server, tmp_path: Path) -> None:
    store.upload(make(tmp_path / "a"), SECOND)
    if isinstance(store, FolderStore):
        (tmp_path / "kept" / "voice.mp3").write_bytes(b"sound")
    else:
        server.client.put_object(Bucket=BUCKET, Key=f"{tmp_path.name}/voice.mp3", Body=b"sound")
    store.copy("voice.mp3", SECOND)
    assert store.find(SECOND) == (SECOND, 5, None)
    assert store.download(SECOND, tmp_path / "b").bytes == 5


@pytest.mark.parametrize("size", [1000, LARGE])
def test_the_file_is_not_sent_again(proxy: Proxy, open_store, tmp_path: Path, size: int) -> None:
    store = open_store(proxy.url)
    store.upload(make(tmp_path / "a", size), KEY)
    proxy.asked.clear()
    # The proxy would damage every request body; only the copy of a large file has one, the list of its parts.
    proxy.flips = -1 if size == 1000 else 0
    store.copy(KEY, SECOND)
    assert not [asked for asked in proxy.asked if asked.startswith("GET")]
    proxy.flips = 0
    assert store.download(SECOND, tmp_path / "b").sha256 == sha256(tmp_path / "a")


def test_a_copy_in_the_folder_takes_no_space(open_store, tmp_path: Path) -> None:
    store = open_store(None)
    store.upload(make(tmp_path / "a"), KEY)
    store.copy(KEY, SECOND)
    assert (tmp_path / "kept" / KEY).samefile(tmp_path / "kept" / SECOND)


def test_without_hard_links_the_file_is_copied(open_store, tmp_path: Path) -> None:
    store = open_store(None)
    store.upload(make(tmp_path / "a"), KEY)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        (tmp_path / "kept" / "elsewhere").symlink_to(elsewhere)
        if Path(elsewhere).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm is on the same disk as the tests")
        store.copy(KEY, "elsewhere/b")
        assert store.download("elsewhere/b", tmp_path / "b").sha256 == sha256(tmp_path / "a")


def test_why_a_copy_failed_is_reported(
    server: S3Server, proxy: Proxy, open_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(server.url).upload(make(tmp_path / "a"), KEY)
    reader = open_store(proxy.url, access_key_id=READER_KEY, secret_access_key=READER_SECRET)
    with pytest.raises(
        StorageError, match=f"^{KEY} cannot be copied in the bucket films: the access key may"
    ):
        reader.copy(KEY, SECOND)
    monkeypatch.setattr(s3, "ATTEMPTS", 2)
    store = open_store(proxy.url)
    proxy.refusals = -1
    with pytest.raises(StorageError, match="cannot be looked up in .* overloaded or down"):
        store.copy(KEY, SECOND)
    proxy.refusals = 0
    assert store.find(SECOND) is None


def test_a_copy_survives_503_for_a_while(proxy: Proxy, open_store, tmp_path: Path) -> None:
    store = open_store(proxy.url)
    stored = store.upload(make(tmp_path / "a", LARGE), KEY)
    proxy.refusals = 4
    store.copy(KEY, SECOND)
    assert proxy.refusals == 0
    assert store.download(SECOND, tmp_path / "b") == stored._replace(key=SECOND)
