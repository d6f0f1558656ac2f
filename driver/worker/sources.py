"""Inputs of jobs: addresses, data URIs and objects of the store, as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..fetch.allowance import Allowance
from ..fetch.data_uri import is_data_uri, save_data_uri
from ..fetch.download import download, is_address
from ..storage.store import NotStored, Store


def fetch_source(
    source: str, folder: Path, store: Store, allowance: Allowance, check: Callable[[], None]
) -> Path:
    """A job's input as a file in `folder`, an existing folder for this file alone.

    Args:
        source: an http(s) address, a data URI, or the key of an object in the store.
        folder: where the file goes.
        store: the endpoint's store.
        allowance: of the job.
        check: raises if the job is cancelled.

    Raises:
        Problems: the job has fetched more than it may.
        DownloadError: the address cannot be fetched.
        ValueError: it is none of these, or the store has no such object.
    """
    if is_data_uri(source):
        return _spent(save_data_uri(source, folder), allowance)
    if is_address(source):

        def check_both() -> None:
            check()
            allowance.check()

        return download(source, folder, check=check_both, on_bytes=allowance.spend)
    target = folder / Path(source).name
    try:
        store.download(source, target)
    except NotStored as error:
        raise ValueError(str(error)) from None
    return _spent(target, allowance)


def _spent(path: Path, allowance: Allowance) -> Path:
    allowance.spend(path.stat().st_size)
    return path
