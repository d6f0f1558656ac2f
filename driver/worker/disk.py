"""The files that a worker leaves on its own disk: finding, marking and removing them."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from story_studio.story.results import STORE

from ..files import files_below
from ..storage.folder import space_of

try:
    import fcntl
except ImportError:  # Windows has none: there, what a killed worker left in the temporary folder stays.
    fcntl = None

_JOB_FOLDER = "story-studio-job-"
_CONTENT_NAME = re.compile(r"[0-9a-f]{24}(\.[a-z0-9]{1,5})?")
_MODEL_PATHS = "model_paths.yaml"
_YOUNG_SECONDS = 60.0
"""A job's folder exists for a moment before it is locked."""


class DiskFile(NamedTuple):
    """A file that may be removed.

    Attributes:
        used: its last use, in seconds since 1970.
        bytes: the space that it takes.
        device: the file system that it is on.
    """

    path: str
    used: float
    bytes: int
    device: int


class Disk:
    """ComfyUI's output, input and temp folders of one worker.

    What other programs put there is not touched where it can be distinguished: input files whose names do not
    follow from their content, and everything outside these folders.

    Args:
        workspace: ComfyUI's base directory.
        output: its output folder, with the projects' folders.
        store: the store's folder, which may be below `output` and is left out.
    """

    def __init__(self, workspace: Path, output: Path, store: Path | None = None):
        self.input = workspace / "input"
        self._output, self._temp = output, workspace / "temp"
        self._store = store
        self._emptied: dict[Path, float] = {}

    @property
    def roots(self) -> list[Path]:
        """A folder on each file system that the worker writes to."""
        return [self._output, self.input, self._temp, Path(tempfile.gettempdir())]

    def files(self) -> Iterator[DiskFile]:
        """Every file that may be removed, in no order."""
        self._emptied.clear()
        yield from self._below(self._output)
        for file in self._below(self.input):
            if _CONTENT_NAME.fullmatch(os.path.basename(file.path)):
                yield file
        running = max(self._temp.glob(f"*/{_MODEL_PATHS}"), key=_changed, default=None)
        yield from (file for file in self._below(self._temp) if file.path != str(running))

    def _below(self, root: Path) -> Iterator[DiskFile]:
        for file in files_below(root, leave_out=self._store):
            with suppress(FileNotFoundError):
                about = file.stat(follow_symlinks=False)
                if stat.S_ISREG(about.st_mode):
                    yield DiskFile(file.path, _last_use(about), space_of(about), about.st_dev)

    def remove(self, file: DiskFile, until: float, busy_since: float) -> bool:
        """Removes a file, and its folder if that becomes empty, unless they have been used in the meantime.

        Args:
            file: the file.
            until: it stays if it was used after this time.
            busy_since: a folder stays if it was changed or marked after this time.
        """
        path = Path(file.path)
        try:
            idle = self._is_idle(path.parent, busy_since)
            if _last_use(path.lstat()) > until:
                return False
            path.unlink()
            # Each job has a folder, or a folder of the project.
            folder = path.parent
            while idle and not self._is_lasting(folder):
                self._emptied[folder] = _changed(folder)
                idle = self._is_idle(folder.parent, busy_since)
                folder.rmdir()
                folder = folder.parent
        except OSError:
            # It was removed, or the folder is not empty.
            return not path.exists()
        return True

    def _is_idle(self, folder: Path, busy_since: float) -> bool:
        """Whether no job has changed or marked a folder since then; what this has removed does not count."""
        changed = _changed(folder)
        return changed < busy_since or self._emptied.get(folder) == changed

    def _is_lasting(self, folder: Path) -> bool:
        """Whether ComfyUI may be about to write to a folder that is empty."""
        own = any(folder.is_relative_to(root) for root in (self.input, self._temp))
        results = self._output / STORE
        return own or folder in (self._output, results) or folder.parent == results


def touch(path: Path) -> bool:
    """Marks a file or folder as used now; False if it does not exist."""
    try:
        about, now = path.stat(), time.time_ns()
        # A file's time of change may be part of a result's key; reading a folder changes its time of access.
        os.utime(path, ns=(now, now if stat.S_ISDIR(about.st_mode) else about.st_mtime_ns))
    except OSError:
        return False
    return True


@contextmanager
def job_folder() -> Iterator[Path]:
    """A temporary folder, locked so that no worker takes it for one of a job that was killed."""
    with tempfile.TemporaryDirectory(prefix=_JOB_FOLDER, ignore_cleanup_errors=True) as name:
        descriptor = os.open(name, os.O_RDONLY) if fcntl else None
        try:
            if fcntl and descriptor is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield Path(name)
        finally:
            if descriptor is not None:
                os.close(descriptor)


def remove_abandoned() -> tuple[int, int]:
    """Removes the folders of jobs whose worker was killed; returns how many files, and their bytes."""
    count = size = 0
    if not fcntl:
        return count, size
    for folder in Path(tempfile.gettempdir()).glob(f"{_JOB_FOLDER}*"):
        with suppress(OSError):
            if _changed(folder) > time.time() - _YOUNG_SECONDS:
                continue
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                files = [path.lstat() for path in folder.rglob("*") if path.is_file()]
                shutil.rmtree(folder)
                count, size = count + len(files), size + sum(map(space_of, files))
            finally:
                os.close(descriptor)
    return count, size


def _last_use(about: os.stat_result) -> float:
    # `touch` sets the time of access, so this does not depend on the file system to do it.
    return max(about.st_atime, about.st_mtime)


def _changed(path: Path) -> float:
    return path.stat().st_mtime
