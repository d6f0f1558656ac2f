"""A folder, or a ZIP file of it, that is there as a whole or not at all."""

from __future__ import annotations

import os
import shutil
import unicodedata
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..files import written_aside

_STORED = {".mp4", ".jpg", ".png"}
"""Suffixes of files that a ZIP cannot make smaller."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_BLOCK = 2**20


@contextmanager
def folder_aside(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target`. It takes its place if the block succeeds, or is removed.

    Raises:
        OSError: it cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{uuid.uuid4().hex}.part")
    aside.mkdir()
    try:
        yield aside
        replaced = target.with_name(f".{uuid.uuid4().hex}.old")
        if target.exists():
            target.rename(replaced)
        aside.rename(target)
        if replaced.is_file():
            replaced.unlink()
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_zip(folder: Path, target: Path, top: str, progress: Callable[[float], None]) -> None:
    """Writes a ZIP of a folder's files, byte for byte the same for the same files.

    Args:
        folder: what is in it.
        target: the file.
        top: the folder that everything in it is below; empty for none.
        progress: called with the fraction done, 0 to 1.

    Raises:
        OSError: it cannot be written.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    total = sum(path.stat().st_size for path in files) or 1
    done = 0
    with written_aside(target) as aside, zipfile.ZipFile(aside, "w") as archive:
        for path in files:
            name = path.relative_to(folder).as_posix()
            about = zipfile.ZipInfo(f"{top}/{name}" if top else name, _EPOCH)
            about.compress_type = zipfile.ZIP_STORED if path.suffix in _STORED else zipfile.ZIP_DEFLATED
            about.external_attr = 0o100644 << 16
            about.file_size = path.stat().st_size
            with path.open("rb") as source, archive.open(about, "w") as sink:
                while block := source.read(_BLOCK):
                    sink.write(block)
                    done += len(block)
                    progress(done / total)


def plain(text: str) -> str:
    """A text without what XML and JSON readers refuse: control characters and halves of surrogate pairs."""
    return "".join(
        letter if letter == "\n" or unicodedata.category(letter) not in ("Cc", "Cs") else " "
        for letter in text
    )


def copy(source: Path, target: Path) -> None:
    """Copies a file. A hard link would let an editor that writes tags into its media change the result."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    os.chmod(target, 0o644)
