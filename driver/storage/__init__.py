"""Where finished files are stored: in a bucket of an S3-compatible service, or in a folder if none is set."""

from __future__ import annotations

from pathlib import Path

from .bucket import Bucket
from .folder import FolderStore
from .store import Store


def from_environment(folder: Path) -> Store:
    """The bucket that the environment names, or else a store in `folder`. Sends no request.

    Raises:
        Problems: the settings that are missing or wrong.
    """
    bucket = Bucket.from_environment()
    if bucket is None:
        return FolderStore(folder)
    # Not at the top, because importing boto3 takes half a second.
    from .s3 import S3Store

    return S3Store(bucket)
