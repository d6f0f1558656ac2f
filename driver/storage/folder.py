"""Files in a folder of this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from .store import Store, Stored, checked, is_key, measured, replacing


class FolderStore(Store):
    """Files in a folder of this machine, made if need be; their sums are in `.sha256` in it."""

    def __init__(self, folder: Path):
        self._folder = folder.resolve()

    def __str__(self) -> str:
        return "the local folder"

    def find(self, key: str) -> Stored | None:
        path, sha256 = self._folder / checked(key), self._sum(key)
        if not path.is_file():
            return None
        known = sha256.read_text() if sha256.is_file() else ""
        return Stored(key, path.stat().st_size, known or None)

    def keys(self, below: str = "") -> list[str]:
        paths = (self._folder / checked(below) if below else self._folder).rglob("*")
        keys = [path.relative_to(self._folder).as_posix() for path in paths if path.is_file()]
        return sorted(key for key in keys if is_key(key))

    def url(self, key: str) -> str:
        return (self._folder / checked(key)).as_uri()

    def _put(self, path: Path, stored: Stored, lasting: bool) -> None:
        with replacing(self._folder / stored.key) as aside:
            shutil.copyfile(path, aside)
        self._keep_sum(stored)

    def _arrived(self, path: Path, stored: Stored) -> bool:
        return stored == measured(self._folder / stored.key, stored.key)

    def _get(self, key: str, aside: Path) -> None:
        shutil.copyfile(self._folder / key, aside)

    def _copy(self, found: Stored, key: str) -> None:
        with replacing(self._folder / key) as aside:
            source = self._folder / found.key
            try:
                aside.hardlink_to(source)
            except OSError:
                # Not every file system has hard links, and none across two of them.
                shutil.copyfile(source, aside)
        self._keep_sum(found._replace(key=key))

    def _keep_sum(self, stored: Stored) -> None:
        with replacing(self._sum(stored.key)) as aside:
            aside.write_text(stored.sha256 or "")

    def _sum(self, key: str) -> Path:
        return self._folder / ".sha256" / key
