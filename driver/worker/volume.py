"""What is on the volume, and what of it ComfyUI finds: the report of NETWORK_VOLUME_DEBUG."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..comfy.client import Comfy
from ..comfy.connection import ComfyError
from ..comfy.model_roots import MODEL_FOLDERS, folder_names, model_roots


def volume_report(volume: Path | None, comfy: Comfy) -> list[str]:
    """A line for each model file on the volume, and for each folder whose files ComfyUI does not look for."""
    if volume is None or not volume.is_dir():
        return ["No volume is mounted where MODEL_CACHE_DIR says: attach a network volume to the endpoint."]
    roots = model_roots(volume)
    lines = [f"Models are looked for in {', '.join(map(str, roots))}."]
    seen: set[Path] = set()
    for name in MODEL_FOLDERS:
        folders = [root / folder for root in roots for folder in folder_names(name)]
        files = [(folder, path) for folder in folders for path in _files(folder)]
        seen |= set(folders)
        known = _known(comfy, name) if files else frozenset()
        for folder, path in files:
            found = path.relative_to(folder).as_posix() in known
            verdict = "found" if found else "NOT found, because of its extension"
            lines.append(f"{name}: {path} ({path.stat().st_size / 1e9:.3g} GB): {verdict}")
    own = volume / "models" if (volume / "models").is_dir() else volume
    others = [path.name for path in sorted(own.iterdir()) if path.is_dir() and path not in seen]
    if others:
        lines.append(f"Folders in {own} that are not ComfyUI's: {', '.join(others)}.")
    return lines if len(lines) > 1 else [*lines, "There are no model files."]


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        yield from (path for name in sorted(names) if (path := Path(place, name)).is_file())


def _known(comfy: Comfy, folder: str) -> frozenset[str]:
    try:
        return frozenset(name.replace("\\", "/") for name in comfy.models(folder))
    except ComfyError:
        # An older ComfyUI does not have every folder.
        return frozenset()
