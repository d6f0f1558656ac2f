"""The results that are kept below an output folder, and which projects use them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from story_studio.checks.verdict import Verdict
from story_studio.signal.tags import tags_of
from story_studio.story.changes import shown
from story_studio.story.results import MANIFEST, STORE, Kind, key_in

from .manifest import Manifest, read_manifest

_ABANDONED_SECONDS = 3600.0
"""A film takes minutes to write; what nobody has written to for an hour was left behind by a crash."""


class Kept(NamedTuple):
    """A file that is kept, or a folder that a crash left.

    Attributes:
        kind: still, clip, film, sheet, or `half` for what a crash left half written.
        key: the result's; empty for what is half written.
        used_by: the projects whose last render used it.
        about: for a still or clip its seed and prompt, as far as the file says; and how a clip did in its
            check, as far as a last render says.
    """

    kind: str
    key: str
    path: Path
    used_by: tuple[str, ...]
    about: str


def kept(output: Path) -> list[Kept]:
    """Every file that is kept below an output folder, oldest first in each kind."""
    users: dict[str, list[str]] = {}
    verdicts: dict[str, str] = {}
    for path in sorted(output.glob(f"*/{MANIFEST}")):
        if manifest := read_manifest(path.parent):
            verdicts |= dict(_verdicts(manifest))
            for key in set(manifest.keys()):
                users.setdefault(key, []).append(path.parent.name)
    files = []
    for kind in Kind:
        work = (path for path in (output / STORE / kind.folder).glob(".*") if path.is_dir())
        files += [Kept("half", "", path, (), "") for path in work if _is_abandoned(path)]
        paths = [path for path in (output / STORE / kind.folder).glob(f"*{kind.suffix}") if path.is_file()]
        for path in sorted(paths, key=lambda path: path.stat().st_mtime):
            if path.name.startswith("."):
                if _is_abandoned(path):
                    files.append(Kept("half", "", path, (), ""))
                continue
            key = key_in(path.name) or path.stem
            about = _about(path) if kind in (Kind.STILL, Kind.CLIP) else ""
            about = ", ".join(filter(None, (verdicts.get(key), about)))
            files.append(Kept(kind.word, key, path, tuple(users.get(key, ())), about))
    return files


def _verdicts(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """How the clips of a render did, by their keys."""
    for scene in manifest.scenes:
        if scene.clip and scene.check:
            yield scene.clip.key, _said(scene.check.verdict, scene.check.failures)
        for take in scene.takes:
            yield take.key, _said(take.verdict, take.reasons)


def _said(verdict: Verdict, reasons: Sequence[str]) -> str:
    words = {"pass": "passed its check", "warn": "passed its check with warnings", "fail": "failed its check"}
    return ": ".join(filter(None, (words[verdict], "; ".join(reasons))))


def _is_abandoned(path: Path) -> bool:
    written = max(each.stat().st_mtime for each in (path, *path.rglob("*")))
    return time.time() - written > _ABANDONED_SECONDS


def _about(path: Path) -> str:
    """Seed and prompt of a still or clip, from the graph that ComfyUI wrote into it."""
    try:
        values = {
            node.get("_meta", {}).get("title", "").rpartition(": ")[2]: next(
                iter(node["inputs"].values()), ""
            )
            for node in json.loads(tags_of(path).get("prompt", "{}")).values()
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
    return ", ".join(f"{name} {shown(values[name])}" for name in ("seed", "prompt") if name in values)
