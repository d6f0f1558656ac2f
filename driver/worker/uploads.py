"""Finished files on their way into the store, while the render is running; or into the answer itself."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from story_studio.story.results import Kind

from ..files import sha256_of
from ..media_types import media_type
from ..storage.store import StorageError, Store
from . import log
from .redact import manifest_without_prompts, without_prompts
from .restore import stored_key

MAX_INLINE = 8_000_000
"""Characters of base64 and text that a response may hold in all; RunPod drops responses above 10 MB."""
_SOUND = 12_000
"""Bytes that a second of a voice takes in a video at least; in ours it was 18,000."""
NEEDS_BUCKET = "set the endpoint's BUCKET_ variables, and answers have addresses instead"


class TooLarge(Exception):
    """The files do not fit into a response, and there is no bucket. The message says what to do."""


class Delivered(NamedTuple):
    """A file as the client gets it: its address, which may be a data URI, and its SHA-256 and size."""

    url: str
    sha256: str
    bytes: int


class _Upload(NamedTuple):
    """A file on its way: where it is, its key, its SHA-256, its size, what stores it, and whether a response
    may lack it."""

    path: Path
    key: str
    sha256: str
    bytes: int
    store: Callable[[], None]
    future: Future[None]
    optional: bool


class Uploads:
    """Puts files into the store while the render is running; leaving its block waits for all of them.

    Args:
        store: where they go. If the clients cannot read it, only what other workers need goes there.
        folder: an existing folder for copies.
        hide_prompts: whether files are stored without prompts and workflows.
    """

    def __init__(self, store: Store, folder: Path, hide_prompts: bool):
        self._store, self._folder, self._hide_prompts = store, folder, hide_prompts
        self._pool = ThreadPoolExecutor(2)
        self._uploads: dict[str, _Upload] = {}
        self._shared: list[tuple[Callable[[], None], Future[None]]] = []

    def __enter__(self) -> Uploads:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def expect(self, seconds: float, film: bool) -> None:
        """To be called before the render: refuses recordings whose sound alone is too much for a response.

        Args:
            seconds: how long all recordings last.
            film: whether there is a film, which has the sound once more.

        Raises:
            TooLarge: the videos will not fit into a response.
        """
        size = inline_size(int(seconds * _SOUND * (1 + film)))
        if not self._store.reachable and size > MAX_INLINE:
            raise TooLarge(
                f"The recordings last {seconds:.0f} s: videos of that length take more than the "
                f"{_megabytes(MAX_INLINE)} that an answer holds without a bucket: {NEEDS_BUCKET}. "
                "Nothing was rendered."
            )

    def add(self, path: Path, key: str, result_key: str, lasting: bool) -> None:
        """Uploads a file.

        Args:
            path: the file.
            key: where it goes in the store.
            result_key: the key by which other workers may find a still, clip or voice, or empty.
            lasting: as in `Store.upload`.
        """
        source = without_prompts(path, self._folder / f"open-{path.name}") if self._hide_prompts else path
        kind = _kind_of(path)
        shared = stored_key(kind, result_key) if result_key and kind else ""

        def store() -> None:
            if self._store.reachable:
                self._store.upload(source, key, lasting=lasting)
                if shared:
                    self._store.copy(key, shared)
            elif shared and self._store.find(shared) is None:
                self._store.upload(source, shared, lasting=True)

        about = (key, sha256_of(source), source.stat().st_size)
        self._uploads[path.name] = _Upload(
            source, *about, store, self._pool.submit(store), kind is Kind.CHECK
        )

    def share(self, path: Path, kind: Kind, result_key: str) -> None:
        """Uploads a result that the client does not get, for other workers. It need not succeed.

        Args:
            path: the file.
            kind, result_key: by which they find it.

        Raises:
            OSError: the file cannot be read.
        """
        source = without_prompts(path, self._folder / f"open-{path.name}") if self._hide_prompts else path
        shared = stored_key(kind, result_key)

        def store() -> None:
            if self._store.find(shared) is None:
                self._store.upload(source, shared, lasting=not self._store.reachable)

        self._shared.append((store, self._pool.submit(store)))

    def add_manifest(self, path: Path, key: str) -> None:
        """Uploads a manifest, if there is one, after all that it names has been added."""
        if not path.is_file():
            return
        if self._hide_prompts:
            sums = {name: (upload.sha256, upload.bytes) for name, upload in self._uploads.items()}
            path = manifest_without_prompts(path.parent, sums, self._folder / "open")
        self.add(path, key, "", lasting=False)

    def finish(self) -> dict[str, Delivered]:
        """What the client gets, by the files' names, once all is stored. A failed upload is retried once.

        What an answer may lack, and what only other workers would use, is left out if it fails again.

        Raises:
            StorageError: a file is not stored.
            TooLarge: the files do not fit into a response.
        """
        for name, upload in list(self._uploads.items()):
            if not upload.optional:
                _finish(upload.store, upload.future)
            elif not _try_to_finish(upload.store, upload.future) and self._store.reachable:
                del self._uploads[name]
        for store, future in self._shared:
            _try_to_finish(store, future)
        address = self._address if self._store.reachable else self._data_uri
        uploads = self._uploads if self._store.reachable else self._that_fit()
        return {
            name: Delivered(address(upload), upload.sha256, upload.bytes) for name, upload in uploads.items()
        }

    def _that_fit(self) -> dict[str, _Upload]:
        """What a response holds: all that it has to, and of the rest what there is room for."""
        size = sum(inline_size(upload.bytes) for upload in self._uploads.values() if not upload.optional)
        self._check_size(size)
        fitting: dict[str, _Upload] = {}
        for name, upload in self._uploads.items():
            more = inline_size(upload.bytes) if upload.optional else 0
            if size + more <= MAX_INLINE:
                fitting[name], size = upload, size + more
        return fitting

    def _check_size(self, size: int) -> None:
        if size > MAX_INLINE:
            raise TooLarge(
                f"The results take {_megabytes(size)}, and without a bucket an answer holds "
                f"{_megabytes(MAX_INLINE)}: {NEEDS_BUCKET}. "
                "What is finished is kept on the worker's volume, if it has one: the same job finds it there."
            )

    def _address(self, upload: _Upload) -> str:
        return self._store.url(upload.key)

    def _data_uri(self, upload: _Upload) -> str:
        content = base64.b64encode(upload.path.read_bytes()).decode()
        return f"data:{media_type(upload.key)};base64,{content}"


def _finish(store: Callable[[], None], future: Future[None]) -> None:
    """Waits for an upload, and retries it once. Raises StorageError."""
    if isinstance(future.exception(), StorageError):
        store()
    else:
        future.result()


def _try_to_finish(store: Callable[[], None], future: Future[None]) -> bool:
    """Like `_finish`, but only logs why it failed; whether it did not."""
    try:
        _finish(store, future)
    except (OSError, StorageError) as error:
        log.event("not_stored", f"A result is not stored for later: {error}", level=logging.WARNING)
        return False
    return True


def _kind_of(path: Path) -> Kind | None:
    """Which kind of result that workers share a file of a story is."""
    if path.name.endswith(Kind.CHECK.project_file()):
        return Kind.CHECK
    kinds = (Kind.STILL, Kind.CLIP, Kind.VOICE)
    return next((kind for kind in kinds if kind.suffix == path.suffix), None)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.3g} MB"


def inline_size(count: int) -> int:
    """Characters of base64 that so many bytes take."""
    return (count + 2) // 3 * 4
