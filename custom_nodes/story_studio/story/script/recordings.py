"""A folder of recordings: a scene for each, in the order of their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from .parts import Passage, Script, Spoken, one_line, without_layout
from .subtitles import read_subtitles

AUDIO = frozenset((".wav", ".mp3", ".flac", ".m4a", ".aac", ".ogg", ".opus", ".aif", ".aiff", ".wma"))
IMAGE = frozenset((".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".tif", ".tiff"))
VIDEO = frozenset((".mp4", ".mov", ".mkv", ".webm", ".m4v", ".avi"))
TEXT = frozenset((".txt", ".srt", ".vtt"))
_FIELDS = {"audio": AUDIO, "image": IMAGE, "clip": VIDEO, "text": TEXT}
_NUMBER = re.compile(r"^[\d\s._-]*\d[\s._)-]*(?=\D|$)")


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """A key to sort names as people count: `take 2` before `take 10`."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(0, int(part[:18]), part) if part.isdigit() else (1, 0, part) for part in parts if part]


def read_recordings(names: Iterable[str], texts: Mapping[str, str]) -> Script:
    """The script of a folder: a scene for each recording or video.

    A `.txt`, `.srt` or `.vtt` of the same name has its words, an image of the same name is its image.

    Args:
        names: of the files in the folder.
        texts: what stands in those of them that are texts, by name.
    """
    by_stem: dict[str, dict[str, str]] = {}
    script = Script()
    for name in sorted(names, key=natural_order):
        path = PurePosixPath(name)
        kind = next((kind for kind, suffixes in _FIELDS.items() if path.suffix.lower() in suffixes), "")
        files = by_stem.setdefault(path.stem.casefold(), {})
        if kind and name.startswith("."):
            script.notes.append(f"{name} is left out: it is hidden, as its name begins with a dot.")
        elif kind in files:
            script.notes.append(f"{name} is left out: {files[kind]} has the same name.")
        elif kind:
            files[kind] = name
    for files in by_stem.values():
        if "audio" in files or "clip" in files:
            script.passages.append(_passage(files, texts, script))
        elif files:
            left = " and ".join(files.values())
            script.notes.append(f"{left}: left out, because no recording and no video has the same name.")
    return script


def _passage(files: Mapping[str, str], texts: Mapping[str, str], script: Script) -> Passage:
    stem = PurePosixPath(files.get("audio") or files["clip"]).stem
    title = re.sub(r"[_\s]+", " ", _NUMBER.sub("", stem)).strip(" -")
    passage = Passage(1, id=stem, title=title[:200])
    passage.fields = {name: files[name] for name in ("clip", "audio", "image") if name in files}
    if name := files.get("text"):
        said = _words(name, texts.get(name, ""), script)
        passage.hint = said
        passage.fields |= {"text": said} if said else {}
    return passage


def _words(name: str, text: str, script: Script) -> str:
    if name.lower().endswith(".txt"):
        return one_line(text)
    read, problems = read_subtitles(without_layout(text))
    script.notes += [f"{name}: {problem}" for problem in problems[:5]]
    said: list[Spoken] = [one for passage in read.passages for one in passage.said]
    return one_line(" ".join(one.text for one in said))
