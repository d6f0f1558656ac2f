"""A bucket's settings, and the addresses of its files."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import requests

from driver.comfy.process import _SECRET
from driver.storage import from_environment, s3
from driver.storage.bucket import Bucket
from driver.storage.folder import FolderStore
from story_studio.story.problems import Problems
from tests.s3_server import BUCKET, S3Server
from tests.storage.tools import KEY, make


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
def test_a_signed_address_serves_the_file_with_its_headers(
    server: S3Server, open_store, tmp_path: Path, name: str, lasting: bool, content_type: str, cache: str
) -> None:
    store = open_store(server.url)
    # Multipart uploads have them too.
    path = make(tmp_path / "a", s3._PART + 1 if name == "clip.mp4" else 1000)
    store.upload(path, name, lasting=lasting)
    assert requests.get(f"{server.url}/{BUCKET}/{tmp_path.name}/{name}").status_code == 403
    answer = requests.get(store.url(name))
    assert answer.content == path.read_bytes()
    assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == (content_type, cache)


def test_a_signed_address_expires(server: S3Server, open_store, tmp_path: Path) -> None:
    store = open_store(server.url, link_seconds="1")
    store.upload(make(tmp_path / "a"), KEY)
    url = store.url(KEY)
    time.sleep(2.1)
    answer = requests.get(url)
    assert answer.status_code == 403 and "expired" in answer.text


def test_a_public_address_serves_the_file(server: S3Server, open_store, tmp_path: Path) -> None:
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
        ({"name": "x"}, ["BUCKET_NAME: is wrong: set it to the bucket", "BUCKET_ENDPOINT_URL: is not set"]),
        (
            {"endpoint_url": "minio:9000"},
            ["BUCKET_ENDPOINT_URL: is wrong: set it to the server's address, like https"],
        ),
        ({"endpoint_url": "https://me:hidden@host"}, ["BUCKET_ENDPOINT_URL: is wrong"]),
        (
            {"public_url": "www.example.com"},
            ["BUCKET_PUBLIC_URL: is wrong: set it to the address from which everyone"],
        ),
        ({"prefix": "a/../b"}, ["BUCKET_PREFIX: is wrong: set it to a folder of the bucket"]),
        (
            {"link_seconds": "604801"},
            ["BUCKET_LINK_SECONDS: is wrong: set it to the seconds that a signed address works, 1 to"],
        ),
        ({"link_seconds": "a day", "secret_access_key": "hidden"}, ["BUCKET_LINK_SECONDS: is wrong"]),
    ],
)
def test_all_wrong_settings_are_reported_together(
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
    named = open_store(address, name=name, region="auto")._bucket
    assert (named.endpoint_url, named.name, named.region) == (server, name, "auto")


def test_the_address_of_a_bucket_works(server: S3Server, open_store, tmp_path: Path) -> None:
    open_store(f"{server.url}/{BUCKET}", name="").upload(make(tmp_path / "a"), KEY)
    assert open_store(server.url).keys() == [KEY]


def test_blank_settings_count_as_unset(open_store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUCKET_ENDPOINT_URL", "  ")
    assert isinstance(open_store(None), FolderStore)


def test_comfyui_does_not_see_the_settings() -> None:
    assert all(_SECRET.search(f"BUCKET_{name.upper()}") for name in Bucket.model_fields)
