"""The stores against a real S3 server over HTTP, and against a folder."""

from __future__ import annotations

import errno
import os
import threading
import time
import tracemalloc
import uuid
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import requests

from driver.storage import s3
from driver.storage.store import NotStored, StorageError, Store
from tests.s3_server import BUCKET, READER_KEY, READER_SECRET, S3Server
from tests.storage.tools import KEY, LARGE, make, sha256


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


def test_several_pages_of_keys_are_listed(server: S3Server, open_store, tmp_path: Path) -> None:
    store = open_store(server.url)
    for number in range(1005):
        server.client.put_object(Bucket=BUCKET, Key=f"{tmp_path.name}/{number}", Body=b"")
    assert len(store.keys()) == 1005


def test_a_missing_file_is_an_error(store: Store, tmp_path: Path) -> None:
    assert store.find("StoryStudio/nothing.png") is None
    with pytest.raises(
        NotStored, match=r"^StoryStudio/nothing.png is not in the (bucket films|local folder)\.$"
    ):
        store.download("StoryStudio/nothing.png", tmp_path / "nothing.png")
    assert not (tmp_path / "nothing.png").exists()


def test_a_damaged_file_is_refused(store: Store, damage, tmp_path: Path) -> None:
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
        with pytest.raises(NotStored, match="is not a valid key"):
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


def test_without_settings_addresses_are_file_uris(open_store, tmp_path: Path) -> None:
    store = open_store(None)
    store.upload(make(tmp_path / "a"), "VideoGen/a b.mp4")
    assert store.url("VideoGen/a b.mp4") == (tmp_path / "kept" / "VideoGen" / "a b.mp4").as_uri()


@pytest.mark.parametrize("size", [0, 1, s3._PART - 1, s3._PART, s3._PART + 1])
def test_servers_agree_on_etags(server: S3Server, open_store, tmp_path: Path, size: int) -> None:
    open_store(server.url).upload(make(tmp_path / "a", size), KEY)
    head = server.client.head_object(Bucket=BUCKET, Key=f"{tmp_path.name}/{KEY}")
    assert head["ETag"] == f'"{s3._etag(tmp_path / "a")}"'


def test_a_full_disk_is_reported(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.upload(make(tmp_path / "a"), KEY)

    name = uuid.UUID(int=0)
    monkeypatch.setattr(uuid, "uuid4", lambda: name)
    aside = tmp_path / f".{name.hex}.part"
    aside.symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"^b.png cannot be written: the disk is full. Free some space"):
        store.download(KEY, tmp_path / "b.png")
    assert not aside.is_symlink()
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["a"]


def test_a_folder_that_cannot_be_written_is_reported(open_store, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file in its place")
    with pytest.raises(StorageError, match=f"cannot be written: {os.strerror(errno.ENOTDIR)}"):
        open_store(None).upload(make(tmp_path / "a"), KEY)


def test_a_second_worker_restores_to_an_empty_disk(store: Store, tmp_path: Path) -> None:
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


def test_files_are_listed_with_size_and_age_and_deleted(store: Store, tmp_path: Path) -> None:
    began = time.time()
    for number in range(3):
        store.upload(make(tmp_path / "a", 1000 + number), f"checkpoints/stills/{number}.png")
    entries = {entry.key: entry for entry in store.entries("checkpoints")}
    assert sorted(entries) == store.keys()
    # Servers round to seconds, and folders to blocks.
    assert all(abs(entry.used - began) < 60 for entry in entries.values())
    assert all(1000 <= entry.bytes <= 2**16 for entry in entries.values())
    store.delete(["checkpoints/stills/0.png", "checkpoints/stills/2.png", "checkpoints/stills/never.png"])
    assert store.keys() == ["checkpoints/stills/1.png"]
    assert store.find("checkpoints/stills/0.png") is None
    store.delete(["checkpoints/stills/1.png"])
    assert not [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    store.upload(tmp_path / "a", "checkpoints/stills/1.png")


def test_more_files_than_a_request_takes_are_deleted(
    server: S3Server, open_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_DELETED_AT_ONCE", 2)
    store = open_store(server.url)
    for number in range(5):
        server.client.put_object(Bucket=BUCKET, Key=f"{tmp_path.name}/{number}", Body=b"")
    store.delete(store.keys())
    assert store.keys() == []


def test_a_key_that_may_not_delete_is_reported(
    store: Store, server: S3Server, open_store, tmp_path: Path
) -> None:
    store.upload(make(tmp_path / "a"), KEY)
    reader = open_store(server.url, access_key_id=READER_KEY, secret_access_key=READER_SECRET)
    with pytest.raises(StorageError, match="the access key may not do that"):
        reader.delete([KEY])
