"""What a story file names: addresses, data, and files by their paths, as people write those."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .data_uri import is_data_uri, save_data_uri
from .download import download, is_address

_RELATIVE = "paths are relative to the story file's folder"


def fetch_for_story(base: Path, source: str, folder: Path) -> Path:
    """What a story file names, as a file.

    Args:
        base: the folder of the story file.
        source: an http(s) address, a data URI or a path.
        folder: an existing folder for this file alone, for what is not one yet.

    Raises:
        DownloadError: the address cannot be fetched.
        ValueError: the data cannot be decoded, or there is no such file.
    """
    if is_data_uri(source):
        return save_data_uri(source, folder)
    if is_address(source) and not source.lower().startswith("file:"):
        return download(source, folder)
    return find(source, base)


def find(source: str, base: Path) -> Path:
    """The file that a story names, with an absolute path: ffmpeg takes `scene: 1.wav` for an address.

    A name is found in either Unicode spelling of its letters, and with the backslashes of Windows.

    Args:
        source: the path, as the author wrote it.
        base: the folder that it starts from.

    Raises:
        ValueError: there is no such file.
    """
    try:
        for spelling in () if "\0" in source else _spellings(source):
            path = _resolved(base, spelling)
            if path and path.is_file():
                return Path(os.path.abspath(path))
            if path:
                kind = "a folder: name a file in it" if path.is_dir() else "not a file: name a file"
                raise ValueError(f"{base / source} is {kind}.")
    except OSError as error:
        shown = source if len(source) <= 100 else f"{source[:100]}..."
        raise ValueError(f"{shown} cannot be looked up ({error.strerror}): {_RELATIVE}.") from None
    if not source.isprintable():
        hint = 'write / for \\, which begins an escape between double quotes, like \\n in "a\\new.wav"'
        raise ValueError(f"{source[:100]!r} does not exist, and has a control character: {hint}.")
    raise ValueError(f"{base / source} does not exist: {_hint(source, base)}.")


def spelled(source: str, base: Path) -> Path:
    """Like `find`, but what is not there keeps the name that its author gave it."""
    try:
        return find(source, base)
    except ValueError:
        return base / source


def _spellings(source: str) -> Iterator[str]:
    yield source
    if "\\" in source:
        yield source.replace("\\", "/")


def _resolved(base: Path, source: str) -> Path | None:
    """The path with each name as the disk spells it; None if it leads nowhere."""
    path = base / source
    if path.exists():
        return path
    found = Path(path.anchor)
    for part in path.relative_to(path.anchor).parts:
        if (found / part).exists():
            found /= part
            continue
        wanted = unicodedata.normalize("NFC", part)
        same = [name for name in _names(found) if unicodedata.normalize("NFC", name) == wanted]
        if len(same) != 1:
            return None
        found /= same[0]
    return found


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _hint(source: str, base: Path) -> str:
    if source.lower().startswith("file:"):
        return f"write the path without file://, {unquote(urlsplit(source).path)}"
    if re.match(r"(https?:/?[^/]|www\.)", source, re.IGNORECASE):
        return f"write an address like https://{re.sub(r'^https?:/*', '', source, flags=re.IGNORECASE)}"
    if re.match(r"[A-Za-z]:[\\/]", source) and os.name != "nt":
        return f"it is a path of Windows; {_RELATIVE}"
    if source.startswith("~"):
        return "write the whole path instead of ~"
    if similar := _similar(source, base):
        return f"did you mean {similar}? {_RELATIVE[0].upper()}{_RELATIVE[1:]}"
    return _RELATIVE


def _similar(source: str, base: Path) -> str:
    """A file in the same folder whose name the author may have meant."""
    path = base / source.replace("\\", "/")
    names = _names(path.parent)
    for wanted in (path.name, unquote(path.name)):
        for name in names:
            if name.casefold() == wanted.casefold():
                return name
    return next(iter(difflib.get_close_matches(path.name, names, n=1, cutoff=0.8)), "")
