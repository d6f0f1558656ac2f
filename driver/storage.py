"""Where finished files are kept: a bucket of any S3-compatible store or, where none is set up, a folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mimetypes
import os
import re
import shutil
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, Field, SecretStr, ValidationError
from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError

from .problems import Problem, Problems

ATTEMPTS = 12
"""Requests before a 503 is believed: that takes half a minute, and more than one if it says SlowDown."""
WEEK = 7 * 24 * 3600
_FOLDER = r"^([^./\\\s][^/\\\s]*/?)*$"
_ADDRESS = r"^https?://[^@?#\s]+$"
_FAILURES = (Boto3Error, BotoCoreError, ClientError, RetriesExceededError, S3DownloadFailedError)
_PART = 16 * 2**20
# The classic client, because the other one, which boto3 takes where it finds it, has settings of its own.
_TRANSFER = TransferConfig(_PART, 4, _PART, preferred_transfer_client="classic")
# An instance of its own does not read the machine's lists, which differ.
_TYPES = mimetypes.MimeTypes()
for _type, _suffix in (("image/webp", ".webp"), ("audio/wav", ".wav"), ("audio/flac", ".flac")):
    _TYPES.add_type(_type, _suffix)
_REASONS = {
    "InvalidAccessKeyId": "BUCKET_ACCESS_KEY_ID is not known there: check it.",
    "SignatureDoesNotMatch": "BUCKET_SECRET_ACCESS_KEY is wrong: check it.",
    "Unauthorized": "the access key is wrong: check BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY.",
    "AccessDenied": "the access key may not do that: allow it to read, write and list the bucket.",
    "NoSuchBucket": "there is no such bucket: create it, or check BUCKET_NAME.",
    "NoSuchKey": "it is not there any more.",
    "AuthorizationHeaderMalformed": "the region is wrong: check BUCKET_REGION.",
    "RequestTimeTooSkewed": "the clock of this machine is wrong: set it.",
    "XAmzContentSHA256Mismatch": "it was damaged on its way: try again.",
}
# What is left of them in an answer without a text.
_REASONS |= {"403": _REASONS["AccessDenied"], "404": _REASONS["NoSuchKey"]}


class StorageError(Exception):
    """The store failed: a sentence that says what to do, without secrets or paths of this machine."""


class NotStored(StorageError):
    """The store works, but it has no such file, or not what was stored."""


class Stored(NamedTuple):
    """A file in the store.

    Attributes:
        key: its name there, like `StoryStudio/img_20251204_123456.png`.
        bytes: its size.
        sha256: 64 hexadecimal digits; None if it was not stored by `Store.upload`.
    """

    key: str
    bytes: int
    sha256: str | None


class Store(ABC):
    """Files by keys: names with `/` between them, none empty or with a dot in front. Safe in threads."""

    def upload(self, path: Path, key: str, *, lasting: bool = False) -> Stored:
        """Stores a file, in place of what has this key, and checks what is there then.

        Args:
            path: the file; read piece by piece.
            key: its name in the store.
            lasting: whether the key will never have other content. Then whoever fetches it may keep it for a
                year, and else must ask each time whether it has changed.

        Raises:
            StorageError: it is not stored.
            OSError: `path` cannot be read.
        """
        stored = Stored(_checked(key), *_measure(path))
        self._put(path, stored, lasting)
        if self.find(key) != stored or not self._arrived(path, stored):
            raise StorageError(f"{key} is in {self}, but not as it was sent: try again.")
        return stored

    def download(self, key: str, target: Path) -> Stored:
        """Fetches a file; `target` is made or replaced only when all is there, and as it was stored.

        Raises:
            NotStored: it is missing or damaged.
            StorageError: the store or the disk fails.
        """
        found = self.find(key)
        if found is None:
            raise NotStored(f"{key} is not in {self}.")
        with _in_place_of(target) as aside:
            self._get(key, aside)
            fetched = Stored(key, *_measure(aside))
            if fetched != found._replace(sha256=found.sha256 or fetched.sha256):
                raise NotStored(f"{key} in {self} is damaged: delete it there, and make it again.")
        return fetched

    @abstractmethod
    def find(self, key: str) -> Stored | None:
        """The file with this key, or None. Raises StorageError if the store does not tell."""

    @abstractmethod
    def keys(self, below: str = "") -> list[str]:
        """The keys below a folder of the store, sorted; or all. Raises StorageError like `find`."""

    @abstractmethod
    def url(self, key: str) -> str:
        """An address from which the file can be read. It is not asked whether there is one."""

    @abstractmethod
    def _put(self, path: Path, stored: Stored, lasting: bool) -> None: ...

    @abstractmethod
    def _arrived(self, path: Path, stored: Stored) -> bool: ...

    @abstractmethod
    def _get(self, key: str, aside: Path) -> None: ...


class FolderStore(Store):
    """Files in a folder of this machine, made if need be; their sums are in `.sha256` in it."""

    def __init__(self, folder: Path):
        self._folder = folder.resolve()

    def __str__(self) -> str:
        return "the local folder"

    def find(self, key: str) -> Stored | None:
        path, sha256 = self._folder / _checked(key), self._sum(key)
        if not path.is_file():
            return None
        return Stored(key, path.stat().st_size, sha256.read_text() if sha256.is_file() else None)

    def keys(self, below: str = "") -> list[str]:
        paths = (self._folder / _checked(below) if below else self._folder).rglob("*")
        keys = [path.relative_to(self._folder).as_posix() for path in paths if path.is_file()]
        return sorted(key for key in keys if _is_key(key))

    def url(self, key: str) -> str:
        return (self._folder / _checked(key)).as_uri()

    def _put(self, path: Path, stored: Stored, lasting: bool) -> None:
        with _in_place_of(self._folder / stored.key) as aside:
            shutil.copyfile(path, aside)
        with _in_place_of(self._sum(stored.key)) as aside:
            aside.write_text(stored.sha256 or "")

    def _arrived(self, path: Path, stored: Stored) -> bool:
        return stored == (stored.key, *_measure(self._folder / stored.key))

    def _get(self, key: str, aside: Path) -> None:
        shutil.copyfile(self._folder / key, aside)

    def _sum(self, key: str) -> Path:
        return self._folder / ".sha256" / key


def _setting(default: Any, what: str, **limits: Any) -> Any:
    return Field(default, description=what, **limits)


class Bucket(BaseModel, frozen=True, hide_input_in_errors=True):
    """A bucket and how to reach it. Each is a variable of the environment too: `name` is BUCKET_NAME.

    R2 takes us-east-1 for its own region, auto.
    """

    endpoint_url: str = _setting(..., "the server's address, like https://host", pattern=_ADDRESS)
    access_key_id: str = _setting(..., "a key that may read, write and list the bucket")
    secret_access_key: SecretStr = _setting(..., "the key's secret")
    name: str = _setting(..., "the bucket, if the server's address names none", pattern=r"^[\w.-]{3,63}$")
    region: str = _setting("us-east-1", "where the bucket is, like eu-central-1", pattern=r"^[a-z0-9-]+$")
    prefix: str = _setting("", "a folder of the bucket to stay in, like films/drafts", pattern=_FOLDER)
    public_url: str = _setting("", "the address from which everyone can read the bucket", pattern=_ADDRESS)
    link_seconds: int = _setting(WEEK, f"how long a signed address works: 1 to {WEEK} s", ge=1, le=WEEK)


class S3Store(Store):
    """Files in a bucket of S3, R2 or another store of that kind. Nothing is asked of it until it is used."""

    def __init__(self, bucket: Bucket):
        self._bucket = bucket
        self._client = boto3.Session().client(
            "s3",
            endpoint_url=bucket.endpoint_url,
            aws_access_key_id=bucket.access_key_id,
            aws_secret_access_key=bucket.secret_access_key.get_secret_value(),
            region_name=bucket.region,
            config=Config(
                signature_version="s3v4",
                # R2 and older servers refuse some of the checksums that boto3 adds by default. Without them
                # it signs what it sends, which many servers check, and `_arrived` need not rely on any.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                connect_timeout=10,
            ),
        )

    def __str__(self) -> str:
        return f"the bucket {self._bucket.name}"

    def find(self, key: str) -> Stored | None:
        name = self._name(key)
        with self._failing(f"{key} cannot be looked up in"):
            try:
                head = self._client.head_object(Bucket=self._bucket.name, Key=name)
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                if status >= 500:
                    raise
                # The answer to HEAD never tells why. A listing fails for the same reason, and does.
                self._client.list_objects_v2(Bucket=self._bucket.name, Prefix=name, MaxKeys=1)
                if status != 404:
                    raise
                return None
        return Stored(key, head["ContentLength"], head["Metadata"].get("sha256"))

    def keys(self, below: str = "") -> list[str]:
        root = self._bucket.prefix and f"{self._bucket.prefix}/"
        start = f"{self._name(below)}/" if below else root
        with self._failing("The files cannot be listed in"):
            listing = self._client.get_paginator("list_objects_v2")
            pages = listing.paginate(Bucket=self._bucket.name, Prefix=start)
            keys = [item["Key"].removeprefix(root) for page in pages for item in page.get("Contents", [])]
        return sorted(key for key in keys if _is_key(key))

    def url(self, key: str) -> str:
        if self._bucket.public_url:
            return f"{self._bucket.public_url.rstrip('/')}/{quote(self._name(key))}"
        return self._client.generate_presigned_url(
            "get_object",
            Params={"Bucket": self._bucket.name, "Key": self._name(key)},
            ExpiresIn=self._bucket.link_seconds,
        )

    def _put(self, path: Path, stored: Stored, lasting: bool) -> None:
        whose = "public" if self._bucket.public_url else "private"
        headers = {
            "ContentType": _TYPES.guess_type(stored.key)[0] or "application/octet-stream",
            "CacheControl": f"{whose}, max-age=31536000, immutable" if lasting else "no-cache",
            # S3 itself keeps no SHA-256 over the whole of what was sent in parts.
            "Metadata": {"sha256": stored.sha256},
        }
        place = (self._bucket.name, self._name(stored.key))
        with self._failing(f"{stored.key} cannot be stored in"):
            self._client.upload_file(str(path), *place, ExtraArgs=headers, Config=_TRANSFER)

    def _arrived(self, path: Path, stored: Stored) -> bool:
        with self._failing(f"{stored.key} cannot be looked up in"):
            head = self._client.head_object(Bucket=self._bucket.name, Key=self._name(stored.key))
        if head["ETag"].strip('"') == _etag(path):
            return True
        # With some servers and some encryptions it says nothing about the content.
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(NotStored):
            return self.download(stored.key, Path(folder, "back")) == stored
        return False

    def _get(self, key: str, aside: Path) -> None:
        with self._failing(f"{key} cannot be fetched from"), aside.open("wb") as file:
            self._client.download_fileobj(self._bucket.name, self._name(key), file, Config=_TRANSFER)

    def _name(self, key: str) -> str:
        return "/".join(filter(None, (self._bucket.prefix, _checked(key))))

    @contextlib.contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        try:
            yield
        except _FAILURES as error:
            # Without the error itself, whose text may hold a signature.
            raise StorageError(f"{what} {self}: {_reason(error)}") from None


def from_environment(folder: Path) -> Store:
    """The store in the bucket that the environment sets up, or else in `folder`. Asks no server.

    Raises:
        Problems: settings that are missing or wrong.
    """
    names = {name: f"BUCKET_{name.upper()}" for name in Bucket.model_fields}
    given = {name: text for name, variable in names.items() if (text := os.environ.get(variable, "").strip())}
    if not given:
        return FolderStore(folder)
    try:
        return S3Store(Bucket.model_validate(_read_address(given)))
    except ValidationError as error:
        raise Problems(_problem(one, names, names[next(iter(given))]) for one in error.errors()) from None


def _problem(detail: Any, names: dict[str, str], given: str) -> Problem:
    setting = str(detail["loc"][0])
    what = Bucket.model_fields[setting].description
    if detail["type"] == "missing":
        return Problem(names[setting], f"is not set, but {given} is: give {what}; or unset all.")
    return Problem(names[setting], f"is wrong: give {what}.")


def _read_address(given: dict[str, str]) -> dict[str, str]:
    """The settings with what the server's address tells, and the address without the bucket.

    The bucket may be before the host, as worker-comfyui has it for S3, or behind it, as R2's pages show it.
    """
    parts = urlsplit(given.get("endpoint_url", ""))
    before, dot, _ = parts.netloc.partition(".s3")
    bucket = given.get("name") or parts.path.strip("/") or (before if dot else "")
    host = parts.netloc
    if host.startswith(f"{bucket}.s3"):
        host = host.removeprefix(f"{bucket}.")
    region = re.match(r"s3[.-]([a-z]{2}-[a-z0-9-]+)\.", host)
    told = {"name": bucket, "region": region[1] if region else ""}
    cleaned = {"prefix": given.get("prefix", "").strip("/")}
    if host:
        path = parts.path.rstrip("/").removesuffix(f"/{bucket}")
        cleaned["endpoint_url"] = parts._replace(netloc=host, path=path).geturl()
    return {name: text for name, text in {**told, **given, **cleaned}.items() if text}


def _is_key(text: str) -> bool:
    plain = text.isprintable() and "\\" not in text and len(text.encode()) <= 800
    return plain and all(name and name[0] != "." and len(name.encode()) <= 255 for name in text.split("/"))


def _checked(key: str) -> str:
    if not _is_key(key):
        raise NotStored(f"{key[:100]!r} is no file of a store: give names with / between them.")
    return key


def _measure(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _etag(path: Path) -> str:
    """What S3 computes from a file that was sent in parts: the MD5 of their MD5s, and how many they are."""
    with path.open("rb") as file:
        parts = [_md5(part) for part in iter(lambda: file.read(_PART), b"")]
        if file.tell() < _PART:
            return (parts or [_md5(b"")])[0].hex()
    return f"{_md5(b''.join(parts)).hex()}-{len(parts)}"


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


@contextlib.contextmanager
def _in_place_of(target: Path) -> Iterator[Path]:
    """A path for a new file, which takes the place of `target` unless something goes wrong."""
    aside = _beside(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        os.replace(aside, target)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full. Free some space and try again." if full else f"{error.strerror}."
        raise StorageError(f"{target.name} cannot be written: {reason}") from None
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def _beside(target: Path) -> Path:
    return target.with_name(f".{uuid.uuid4().hex}.part")


def _reason(error: Exception) -> str:
    if isinstance(error, Boto3Error) and isinstance(error.__context__, Exception):
        # An upload's error has only the text of its reason.
        error = error.__context__
    if isinstance(error, ClientError):
        code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status in (429, 500, 502, 503, 504):
            return f"it is overloaded or down (HTTP status {status}, {ATTEMPTS} times). Try again later."
        return _REASONS.get(code, f"it answers {code} (HTTP status {status}): check the BUCKET_ settings.")
    if isinstance(error, S3DownloadFailedError):
        return "it was replaced meanwhile: try again."
    return f"there is no connection, or it breaks ({type(error).__name__}). Check BUCKET_ENDPOINT_URL."
