"""Files in a folder of this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from .store import Store, Stored, checked, is_key, measured, replacing


class FolderStore(Store):
    """Files in a folder, which is created if necessary. Their SHA-256 sums are in its subfolder `.sha256`.

    Args:
        folder: the folder.
        reachable: whether the clients are on this machine.
    """

    def __init__(self, folder: Path, *, reachable: bool = True):
        self._folder, self.reachable = folder.resolve(), reachable

    def __str__(self) -> str:
        return "the local folder"

    def find(self, key: str) -> Stored | None:
        path, sum_path = self._folder / checked(key), self._sum_path(key)
        if not path.is_file():
            return None
        sha256 = sum_path.read_text() if sum_path.is_file() else ""
        return Stored(key, path.stat().st_size, sha256 or None)

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

    def _copy(self, source: Stored, key: str) -> None:
        path = self._folder / source.key
        with replacing(self._folder / key) as aside:
            try:
                aside.hardlink_to(path)
            except OSError:
                # Some file systems have no hard links, and none links to another one.
                shutil.copyfile(path, aside)
        self._keep_sum(source._replace(key=key))

    def _keep_sum(self, stored: Stored) -> None:
        with replacing(self._sum_path(stored.key)) as aside:
            aside.write_text(stored.sha256 or "")

    def _sum_path(self, key: str) -> Path:
        return self._folder / ".sha256" / key
