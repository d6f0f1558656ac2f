"""Inputs of jobs: addresses, data URIs and objects of the store, as files."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from pathlib import Path

from ..fetch.download import download, is_address
from ..media_types import extension
from ..storage.store import NotStored, Store

_DATA_URI = re.compile(r"data:([\w.+/-]*)(?:;[\w=.+-]+)*;base64,(.*)", re.DOTALL)


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
    if is_address(source):
        return download(source, folder, check=check)
    if source.startswith("data:"):
        return _decode(source, folder)
    target = folder / Path(source).name
    try:
        store.download(source, target)
    except NotStored as error:
        raise ValueError(str(error)) from None
    return target


def _decode(source: str, folder: Path) -> Path:
    match = _DATA_URI.fullmatch(source)
    if not match:
        raise ValueError("is not a base64 data URI: write it like data:audio/mpeg;base64,...")
    # The name is what an error calls it.
    target = folder / f"the data{extension(match[1])}"
    try:
        target.write_bytes(base64.b64decode(match[2], validate=True))
    except binascii.Error:
        raise ValueError("holds broken base64: encode the file again.") from None
    return target
