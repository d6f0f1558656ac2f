"""Inputs of jobs: addresses, data URIs and objects of the store, as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..fetch.data_uri import is_data_uri, save_data_uri
from ..fetch.download import download, is_address
from ..storage.store import NotStored, Store


def fetch_source(source: str, folder: Path, store: Store, check: Callable[[], None]) -> Path:
    """A job's input as a file in `folder`, an existing folder for this file alone.

    Args:
        source: an http(s) address, a data URI, or the key of an object in the store.
        folder: where the file goes.
        store: the endpoint's store.
        check: raises if the job is cancelled.

    Raises:
        DownloadError: the address cannot be fetched.
        ValueError: it is none of these, or the store has no such object.
    """
    if is_data_uri(source):
        return save_data_uri(source, folder)
    if is_address(source):
        return download(source, folder, check=check)
    target = folder / Path(source).name
    try:
        store.download(source, target)
    except NotStored as error:
        raise ValueError(str(error)) from None
    return target
