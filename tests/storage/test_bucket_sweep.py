"""Sweeps of the bucket's shared results, on a real S3 server."""

from __future__ import annotations

from pathlib import Path

import pytest

from driver.worker import sweep
from driver.worker.disk import Disk
from driver.worker.restore import stored_key
from driver.worker.retention import Limits
from driver.worker.sweep import Sweeper
from story_studio.story.results import Kind
from tests.s3_server import READER_KEY, READER_SECRET, S3Server
from tests.storage.tools import make

LESS = Limits(bytes=0)
"""No result may stay, however young."""


def results(count: int) -> list[str]:
    return [stored_key(kind, f"{number:024x}") for number in range(count) for kind in (Kind.STILL, Kind.CLIP)]


def sweeper(store, tmp_path: Path, limits: Limits = LESS) -> Sweeper:
    return Sweeper(limits, Disk(tmp_path / "workspace", tmp_path / "output"), store)


def test_only_shared_results_are_removed_and_once_a_day(
    server: S3Server, open_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "_AT_ONCE", 4)
    store = open_store(server.url)
    theirs = ["StoryStudio/1.png", "VideoGen/1_s2v_480p.mp4", "checkpoints/stills/mine.png", "checkpoints/a"]
    for key in [*results(5), *theirs]:
        store.upload(make(tmp_path / "a"), key)
    sweeper(store, tmp_path, Limits(3600, 1e6)).sweep_bucket()
    assert set(store.keys()) == {*results(5), *theirs, "checkpoints/sweeps/last.txt"}
    # Another worker has just swept it.
    sweeper(store, tmp_path).sweep_bucket()
    assert set(results(5)) < set(store.keys())
    monkeypatch.setattr(sweep, "_BUCKET_SECONDS", 0)
    sweeper(store, tmp_path).sweep_bucket()
    assert set(store.keys()) == {*theirs, "checkpoints/sweeps/last.txt"}


def test_a_bucket_that_cannot_be_swept_is_only_logged(
    server: S3Server, open_store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(server.url)
    store.upload(make(tmp_path / "a"), results(1)[0])
    reader = open_store(server.url, access_key_id=READER_KEY, secret_access_key=READER_SECRET)
    sweeper(reader, tmp_path).sweep_bucket()
    assert "the bucket was not swept" in caplog.text and "the access key may not do that" in caplog.text
    assert store.keys() == results(1)[:1]
