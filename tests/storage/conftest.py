"""A real S3 server, a proxy in front of it, and stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from driver.storage import from_environment, s3
from driver.storage.bucket import Bucket
from driver.storage.folder import FolderStore
from driver.storage.store import Store
from tests.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, Proxy, S3Server, s3_server


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between two requests are as many, but short."""
    monkeypatch.setattr(s3, "BACKOFF_SECONDS", 0.0001)


@pytest.fixture(scope="session")
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
    """A function that sets the environment for a server, or for none, and returns the store."""

    def open_store(url: str | None, **settings: str) -> Store:
        if url:
            # Each test has its own prefix on the shared server.
            defaults = {"endpoint_url": url, "access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
            settings = {**defaults, "name": BUCKET, "prefix": tmp_path.name, **settings}
            for name, value in settings.items():
                monkeypatch.setenv(f"BUCKET_{name.upper()}", value)
        return from_environment(tmp_path / "kept")

    return open_store


@pytest.fixture(params=["s3", "folder"])
def store(request: pytest.FixtureRequest, open_store) -> Store:
    return open_store(request.getfixturevalue("server").url if request.param == "s3" else None)


@pytest.fixture
def damage(server: S3Server, tmp_path: Path):
    """A function that overwrites a stored file with zeros, without the store."""

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
