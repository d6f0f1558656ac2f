"""Files in a bucket of any S3-compatible store."""

from __future__ import annotations

import contextlib
import hashlib
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
from s3transfer.exceptions import RetriesExceededError, S3CopyFailedError, S3DownloadFailedError

from ..media_types import media_type
from .bucket import Bucket
from .store import Entry, NotStored, StorageError, Store, Stored, checked, is_key

ATTEMPTS = 12
"""Requests until a 503 counts as a failure: more than a minute on average."""
BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 1.0, 20.0
"""The longest pause before the second request, doubled before each further one, and the longest of all."""
_PASSING = frozenset({429, 500, 502, 503, 504})
_REPLACED = (S3CopyFailedError, S3DownloadFailedError)
_FAILURES = (Boto3Error, BotoCoreError, ClientError, RetriesExceededError, *_REPLACED)
_PART = 16 * 2**20
_DELETED_AT_ONCE = 1000
"""The most that S3 takes in a request."""
# The classic client, because awscrt's, which boto3 prefers where it is installed, has settings of its own.
_TRANSFER = TransferConfig(_PART, 4, _PART, preferred_transfer_client="classic")
_REASONS = {
    "InvalidAccessKeyId": "BUCKET_ACCESS_KEY_ID is not known there: check it.",
    "SignatureDoesNotMatch": "BUCKET_SECRET_ACCESS_KEY is wrong: check it.",
    "Unauthorized": "the access key is wrong: check BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY.",
    "AccessDenied": "the access key may not do that: allow it to read, write and list the bucket, and to "
    "delete from it.",
    "NoSuchBucket": "there is no such bucket: create it, or check BUCKET_NAME.",
    "NoSuchKey": "it is no longer there.",
    "AuthorizationHeaderMalformed": "the region is wrong: check BUCKET_REGION.",
    "RequestTimeTooSkewed": "the clock of this machine is wrong: set it.",
    "XAmzContentSHA256Mismatch": "it was damaged in transit: try again.",
}
# The codes of responses without a body, as to HEAD.
_REASONS |= {"403": _REASONS["AccessDenied"], "404": _REASONS["NoSuchKey"]}


class S3Store(Store):
    """Files in a bucket of S3, R2 or a similar service. Sends no request before the first use."""

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
                # R2 and older servers refuse some of the checksums that boto3 adds by default. Without them,
                # it signs the content, which many servers verify, and `_arrived` checks in any case.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                # `_pause` decides. In boto3's own modes all requests share a budget of retries, which an
                # outage uses up: after it, a single 503 would be a failure.
                retries={"mode": "standard", "total_max_attempts": 1},
                connect_timeout=10,
            ),
        )
        self._client.meta.events.register_first("needs-retry.s3", _pause)

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
                # The response to HEAD never has a reason. A listing fails for the same one, and names it.
                self._client.list_objects_v2(Bucket=self._bucket.name, Prefix=name, MaxKeys=1)
                if status != 404:
                    raise
                return None
        return Stored(key, head["ContentLength"], head["Metadata"].get("sha256"))

    def keys(self, below: str = "") -> list[str]:
        return sorted(entry.key for entry in self.entries(below))

    def entries(self, below: str = "") -> Iterator[Entry]:
        root = self._bucket.prefix and f"{self._bucket.prefix}/"
        start = f"{self._name(below)}/" if below else root
        with self._failing("The files cannot be listed in"):
            listing = self._client.get_paginator("list_objects_v2")
            for page in listing.paginate(Bucket=self._bucket.name, Prefix=start):
                for item in page.get("Contents", []):
                    if is_key(key := item["Key"].removeprefix(root)):
                        yield Entry(key, item["Size"], item["LastModified"].timestamp())

    def delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            names = [{"Key": self._name(key)} for key in keys[start : start + _DELETED_AT_ONCE]]
            with self._failing(f"{len(names)} files cannot be deleted from"):
                answer = self._client.delete_objects(
                    Bucket=self._bucket.name, Delete={"Objects": names, "Quiet": True}
                )
            for error in answer.get("Errors", []):
                reason = _REASONS.get(error.get("Code", ""), f"it answers {error.get('Code')}.")
                raise StorageError(f"A file cannot be deleted from {self}: {reason}")

    def url(self, key: str) -> str:
        if self._bucket.public_url:
            return f"{self._bucket.public_url.rstrip('/')}/{quote(self._name(key))}"
        return self._client.generate_presigned_url(
            "get_object",
            Params={"Bucket": self._bucket.name, "Key": self._name(key)},
            ExpiresIn=self._bucket.link_seconds,
        )

    def _put(self, path: Path, stored: Stored, lasting: bool) -> None:
        scope = "public" if self._bucket.public_url else "private"
        headers = {
            "ContentType": media_type(stored.key),
            "CacheControl": f"{scope}, max-age=31536000, immutable" if lasting else "no-cache",
            # S3 itself has no SHA-256 of a whole file that was sent in parts.
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
        # On some servers, and with some kinds of encryption, the ETag does not depend on the content alone.
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(NotStored):
            return self.download(stored.key, Path(folder, "back")) == stored
        return False

    def _get(self, key: str, aside: Path) -> None:
        with self._failing(f"{key} cannot be fetched from"), aside.open("wb") as file:
            self._client.download_fileobj(self._bucket.name, self._name(key), file, Config=_TRANSFER)

    def _copy(self, source: Stored, key: str) -> None:
        place = {"Bucket": self._bucket.name, "Key": self._name(source.key)}
        with self._failing(f"{source.key} cannot be copied in"):
            self._client.copy(place, self._bucket.name, self._name(key), Config=_TRANSFER)

    def _name(self, key: str) -> str:
        return "/".join(filter(None, (self._bucket.prefix, checked(key))))

    @contextlib.contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        try:
            yield
        except _FAILURES as error:
            # Without the exception itself, whose text may contain a signature.
            raise StorageError(f"{what} {self}: {_reason(error)}") from None


def _pause(attempts: int, response: Any, caught_exception: Exception | None, **_: Any) -> float | None:
    """Seconds until a failed request is sent again; None if it is not. Called by boto3.

    The pauses are random, so that the requests of several threads do not return together.
    """
    passing = isinstance(caught_exception, ConnectionError | HTTPClientError)
    if response is not None:
        http, parsed = response
        passing = http.status_code in _PASSING or parsed.get("Error", {}).get("Code") == "RequestTimeout"
    if not passing or attempts >= ATTEMPTS:
        return None
    return random.uniform(0, min(BACKOFF_SECONDS * 2 ** (attempts - 1), MAX_BACKOFF_SECONDS))


def _etag(path: Path) -> str:
    """S3's ETag of a file that was sent in parts: the MD5 of their MD5s, and their number."""
    with path.open("rb") as file:
        parts = [_md5(part) for part in iter(lambda: file.read(_PART), b"")]
        if file.tell() < _PART:
            return (parts or [_md5(b"")])[0].hex()
    return f"{_md5(b''.join(parts)).hex()}-{len(parts)}"


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _reason(error: Exception) -> str:
    if isinstance(error, Boto3Error) and isinstance(error.__context__, Exception):
        # The exception of an upload has only the text of its cause.
        error = error.__context__
    if isinstance(error, ClientError):
        code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status in _PASSING:
            times = error.response["ResponseMetadata"].get("RetryAttempts", 0) + 1
            tried = f"{times} times" if times > 1 else "once"
            return f"it is overloaded or down (HTTP status {status}, {tried}). Try again later."
        return _REASONS.get(code, f"it answers {code} (HTTP status {status}): check the BUCKET_ variables.")
    if isinstance(error, _REPLACED):
        return "it was replaced in the meantime: try again."
    return f"there is no connection, or it broke ({type(error).__name__}). Check BUCKET_ENDPOINT_URL."
