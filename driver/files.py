"""Files on this machine: hashes, names that follow from content, and writing them whole or not at all."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from story_studio.story.failures import FULL, says_disk_full


def sha256_of(path: Path) -> str:
    """A file's SHA-256 in hexadecimal digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_name(name: str, sha256: str) -> str:
    """A file name that follows from the content, with the suffix of `name`: same content, same name."""
    suffix = Path(name).suffix.lower()
    return sha256[:24] + (suffix if suffix[1:].isalnum() and len(suffix) <= 6 else "")


def is_disk_full(error: BaseException | str | None) -> bool:
    """Whether an error, or what it came from, says that a disk or a quota is full. A text may be another
    program's."""
    if isinstance(error, str):
        return says_disk_full(error)
    while error:
        if getattr(error, "errno", None) in FULL or is_disk_full(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def files_below(folder: Path, leave_out: Path | None = None) -> Iterator[os.DirEntry[str]]:
    """Everything but folders below a folder, in no order; no symbolic link is followed.

    Args:
        folder: where to look; it need not exist.
        leave_out: a folder that is not visited.
    """
    pending = [str(folder)]
    while pending:
        # Folders may be removed while this looks.
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    yield entry
                elif entry.path != str(leave_out):
                    pending.append(entry.path)


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to. It replaces `path` if the block succeeds, or is removed.

    Raises:
        OSError: `path` cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        yield aside
        # Windows syncs only what it may write to.
        with aside.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
