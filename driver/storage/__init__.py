"""Where finished files are stored: in a bucket of an S3-compatible service, or in a folder if none is set."""

from __future__ import annotations

from pathlib import Path

from ..environment import switch
from .bucket import Bucket
from .folder import FolderStore
from .store import Store

LOCAL_STORE = "STORY_STUDIO_LOCAL_STORE"
"""The variable that lets answers name files of this machine (`file://`), for a person's own worker."""


def from_environment(folder: Path) -> Store:
    """The bucket that the environment names, or else a store in `folder`. Sends no request.

    A client elsewhere cannot read that folder, so a worker returns the files themselves (`Store.reachable`),
    unless STORY_STUDIO_LOCAL_STORE is 1, which `runpod_handler.py --test_input` sets.

    Raises:
        Problems: the settings that are missing or wrong.
    """
    bucket = Bucket.from_environment()
    if bucket is None:
        return FolderStore(folder, reachable=switch(LOCAL_STORE))
    # Not at the top, because importing boto3 takes half a second.
    from .s3 import S3Store

    return S3Store(bucket)
