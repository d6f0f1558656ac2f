"""Where a name in a workflow leads, as ComfyUI's nodes resolve it, and what is wrong with that."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import NamedTuple

from story_studio.story.results import STORE

from ..comfy.process import Server

_ANNOTATIONS = {"[output]": 9, "[input]": 8, "[temp]": 7}
"""How many characters ComfyUI drops from the end of a name that ends so."""
_OF_OTHERS = ("[output]", "[temp]")
_SENT = re.compile(r"[0-9a-f]{24}(\.[a-z0-9]{1,5})?")
"""The names of what jobs send: see `files.content_name`."""
_SCHEME = re.compile(r"[A-Za-z][\w+.,-]*:")
_PROTOCOL = re.compile(
    r"[A-Za-z][\w+.-]*://|(async|cache|concat|concatf|crypto|data|fd|file|hls|pipe|subfile|tee|unix)[\w+,.]*:",
    re.IGNORECASE,
)
"""What FFmpeg opens other than as a file; prose may well hold a colon."""
_SEQUENCE = re.compile(r"%\d*d")
"""FFmpeg opens all files that such a name stands for, one after the other."""
_CONTROL = re.compile(r"[\0-\x1f\x7f]")
_SEND = "send the file with the job, as one of its `images`"
_USE_NAME = "use a name without folders that lead elsewhere"


class Folders(NamedTuple):
    """The folders of a server on this machine."""

    input: Path
    output: Path

    @classmethod
    def of(cls, server: Server | None) -> Folders | None:
        """The folders of our own server; None for any other."""
        return cls(server.workspace / "input", server.output) if server else None


def file_problem(name: str, folders: Folders | None) -> str:
    """What is wrong with a name that a node opens in ComfyUI's input folder; empty if nothing is."""
    annotation = ""
    # Some nodes pass what they opened to another one, which takes the next annotation for its own.
    while annotation not in _OF_OTHERS and (stripped := _without_annotation(name)) != (name, ""):
        name, annotation = stripped
    if annotation in _OF_OTHERS:
        return f"names a file in ComfyUI's {annotation[1:-1]} folder, where other jobs have theirs: {_SEND}."
    if _SCHEME.match(name):
        return f"is an address and not the name of a file: {_SEND}."
    if _leads_out(name):
        return f"leads out of ComfyUI's input folder: {_USE_NAME}."
    if _SEQUENCE.search(name):
        return f"stands for all files that differ in a number: {_SEND}."
    if _is_sent(name):
        return f"names a file that another job sent: {_SEND}."
    if folders and not _is_within(folders.input, name):
        return "is, or is below, a symbolic link that leads out of ComfyUI's input folder: use another file."
    return ""


def prefix_problem(prefix: str, folders: Folders | None) -> str:
    """What is wrong with the start of the name of a file that a node saves in ComfyUI's output folder."""
    if has_control_characters(prefix):
        return "has a line break or another control character, and names of files have none: leave it out."
    if _leads_out(prefix):
        return f"leads out of ComfyUI's output folder: {_USE_NAME}."
    folder = posixpath.dirname(posixpath.normpath(prefix.replace("\\", "/")))
    if folder.partition("/")[0].lower() == STORE:
        return f"leads into {STORE}, where finished stories are kept: use another folder."
    if folders and not _is_within(folders.output, folder):
        return "is below a symbolic link that leads out of ComfyUI's output folder: use another folder."
    return ""


def text_problem(text: str, folders: Folders | None) -> str:
    """What is wrong with a text that a node may or may not take for names of files, one a line."""
    lines = [line.strip().strip("\"'") for line in text.splitlines()] or [text]
    for line in lines:
        name, annotation = _without_annotation(line)
        if _PROTOCOL.match(name):
            return f"may be opened as an address: {_SEND}."
        if annotation in _OF_OTHERS or _is_sent(name):
            return file_problem(line, None)
        if _leads_out(name):
            return f"may be opened as a file, and leads out of ComfyUI's folders: {_USE_NAME}."
    if folders and len(lines) == 1 and not all(_is_within(folder, lines[0]) for folder in folders):
        return "may be opened as a file, and is below a symbolic link that leads elsewhere: use another."
    return ""


def has_control_characters(name: str) -> bool:
    """Whether ComfyUI cannot send a file of this name: it stands in a header of the response."""
    return bool(_CONTROL.search(name))


def choice_problem(text: str) -> str:
    """What is wrong with a value of a list of choices, which ComfyUI checks only if it is not linked."""
    return f"leads out of the folder with these files: {_USE_NAME}." if _leads_out(text) else ""


def _without_annotation(name: str) -> tuple[str, str]:
    """A name as ComfyUI opens it, and the folder in brackets at its end."""
    for annotation, length in _ANNOTATIONS.items():
        if name.endswith(annotation):
            return name[:-length], annotation
    return name, ""


def _is_sent(name: str) -> bool:
    return bool(_SENT.fullmatch(posixpath.basename(posixpath.normpath(name))))


def _leads_out(name: str) -> bool:
    path = name.replace("\\", "/")
    return (
        "\0" in name
        or path.startswith(("/", "~"))
        or bool(re.match(r"[A-Za-z]:/", path))
        or ".." in path.split("/")
    )


def _is_within(folder: Path, name: str) -> bool:
    """Whether a path below `folder` stays there when its symbolic links are followed."""
    try:
        return (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):
        # Too long, for instance: no file has this name.
        return True
