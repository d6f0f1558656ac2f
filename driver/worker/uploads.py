"""Finished files on their way into the store, while the render goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from story_studio.story.results import Kind

from ..storage.store import StorageError, Store
from .restore import stored_key


class Uploads:
    """Puts files into the store while the render goes on; leaving its block waits for all of them."""

    def __init__(self, store: Store):
        self._store = store
        self._pool = ThreadPoolExecutor(2)
        self._uploads: dict[str, tuple[Future[None], Callable[[], None]]] = {}
        self._keys: dict[str, str] = {}

    def __enter__(self) -> Uploads:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def add(self, path: Path, key: str, result_key: str, lasting: bool) -> None:
        """Uploads a file.

        Args:
            path: the file.
            key: where it goes in the store.
            result_key: the key by which other workers may find a still or clip, or empty.
            lasting: as in `Store.upload`.
        """
        kind = next((kind for kind in (Kind.STILL, Kind.CLIP) if kind.suffix == path.suffix), None)

        def upload() -> None:
            self._store.upload(path, key, lasting=lasting)
            if result_key and kind:
                self._store.copy(key, stored_key(kind, result_key))

        self._uploads[path.name] = self._pool.submit(upload), upload
        self._keys[path.name] = key

    def finish(self) -> dict[str, str]:
        """The addresses of all files by their names, once they are stored. A failed upload is retried once.

        Raises:
            StorageError: a file is not stored.
        """
        for future, upload in self._uploads.values():
            if isinstance(future.exception(), StorageError):
                upload()
            else:
                future.result()
        return {name: self._store.url(key) for name, key in self._keys.items()}
