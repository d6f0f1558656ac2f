"""Copies of results without prompts and workflows, for addresses that everyone can read.

ComfyUI writes the whole workflow into each file that it saves. Only the tags are removed: frames, sound,
chapters and captions stay as they are, and so does the file on this machine, in which ComfyUI finds it.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from story_studio.story.results import CHECK_TAG, MANIFEST

from ..rendering.manifest import Manifest, read_manifest

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"comf")
"""Chunks with texts; `comf` is ComfyUI's own, in animations."""
_OPEN_TEXTS = (CHECK_TAG.encode() + b"\0",)
"""How the texts begin that are no secret: the figures of a check."""
_MP4_SUFFIXES = (".mp4", ".mov", ".m4v", ".m4a")
_OPEN_TAGS = {b"title", b"draft", b"encoder", b"\xa9nam", b"\xa9too"}
"""MP4 tags that are no secret: a film's title, the mark of a draft, the program."""
_PROMPTS = ("prompt", "negative_prompt", "subject", "heading", "text", "description")
"""Settings with prompts. A film's captions and titles are in the film, so those stay there."""


def without_prompts(path: Path, target: Path) -> Path:
    """A copy of a PNG or MP4 without tags, as `target`; the file itself if it has none or is another kind."""
    suffix = path.suffix.lower()
    if suffix == ".png":
        return _png(path, target)
    return _mp4(path, target) if suffix in _MP4_SUFFIXES else path


def manifest_without_prompts(folder: Path, uploaded: Mapping[str, tuple[str, int]], target: Path) -> Path:
    """A copy of a manifest without prompts, with the SHA-256 and size of what was uploaded, by file names."""
    manifest = read_manifest(folder) or Manifest()
    for scene in manifest.scenes:
        for _, settings in scene.settings:
            for name in list(settings or {}):
                # Of characters: `description of mara`.
                if name.partition(" of ")[0] in _PROMPTS:
                    del settings[name]
    results = [manifest.film, manifest.storyboard]
    results += [result for scene in manifest.scenes for result in scene.results]
    results += [character.sheet for character in manifest.characters]
    for result in results:
        if result and result.file in uploaded:
            result.sha256, result.bytes = uploaded[result.file]
    target.mkdir(exist_ok=True)
    manifest.write(target)
    return target / MANIFEST


def _png(path: Path, target: Path) -> Path:
    content = path.read_bytes()
    kept, place = [content[:8]], 8
    if content[:8] != _PNG:
        return path
    while place + 8 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        end = place + 12 + length
        is_text = content[place + 4 : place + 8] in _PNG_TEXTS
        if not is_text or content.startswith(_OPEN_TEXTS, place + 8):
            kept.append(content[place:end])
        place = end
    if sum(map(len, kept)) == len(content):
        return path
    target.write_bytes(b"".join(kept))
    return target


class _Box(NamedTuple):
    """A box of an MP4 file: its type, and where its content begins and ends."""

    type: bytes
    start: int
    end: int


def _mp4(path: Path, target: Path) -> Path:
    with path.open("rb") as file:
        places = list(_texts(file, path.stat().st_size))
    if not places:
        return path
    shutil.copyfile(path, target)
    with target.open("rb+") as file:
        for start, end in places:
            # Of the same length, so that nothing else in the file moves.
            file.seek(start)
            file.write(b" " * (end - start))
    return target


def _texts(file: IO[bytes], size: int) -> Iterator[tuple[int, int]]:
    """Where the texts of tags are that are not open to all."""
    for movie in _boxes(file, 0, size):
        if movie.type != b"moov":
            continue
        inside = list(_boxes(file, movie.start, movie.end))
        for data in [box for box in inside if box.type == b"udta"]:
            inside += _boxes(file, data.start, data.end)
        for meta in [box for box in inside if box.type == b"meta"]:
            yield from _tags(file, meta)


def _tags(file: IO[bytes], meta: _Box) -> Iterator[tuple[int, int]]:
    # In MP4 a version of four bytes comes first, which QuickTime leaves out.
    file.seek(meta.start + 4)
    skipped = 0 if file.read(4) in (b"hdlr", b"keys", b"ilst") else 4
    boxes = list(_boxes(file, meta.start + skipped, meta.end))
    names: list[bytes] = []
    for keys in [box for box in boxes if box.type == b"keys"]:
        for key in _boxes(file, keys.start + 8, keys.end):
            file.seek(key.start)
            names.append(file.read(key.end - key.start))
    for items in [box for box in boxes if box.type == b"ilst"]:
        for item in _boxes(file, items.start, items.end):
            number = int.from_bytes(item.type) - 1
            name = names[number] if 0 <= number < len(names) else item.type
            if name not in _OPEN_TAGS:
                for data in _boxes(file, item.start, item.end):
                    # A type and a language come before the text.
                    yield data.start + 8, data.end


def _boxes(file: IO[bytes], start: int, end: int) -> Iterator[_Box]:
    while start + 8 <= end:
        file.seek(start)
        length, kind = struct.unpack(">I4s", file.read(8))
        header = 8
        if length == 1:
            (length,), header = struct.unpack(">Q", file.read(8)), 16
        # A length of 0 means up to the end.
        stop = end if length == 0 else start + length
        if stop < start + header or stop > end:
            return
        yield _Box(kind, start + header, stop)
        start = stop
