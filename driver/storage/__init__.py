"""Where finished files are kept: a bucket of any S3-compatible store or, where none is set up, a folder."""

from __future__ import annotations

from pathlib import Path

from .bucket import Bucket
from .folder import FolderStore
from .store import Store


def from_environment(folder: Path) -> Store:
    """The store in the bucket that the environment sets up, or else in `folder`. Asks no server.

    Raises:
        Problems: settings that are missing or wrong.
    """
    bucket = Bucket.from_environment()
    if bucket is None:
        return FolderStore(folder)
    # boto3, which it needs, takes half a second to import.
    from .s3 import S3Store

    return S3Store(bucket)
