"""The results below an output folder, found by their keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from story_studio.story.results import STORE, Kind


def find_results(output: Path, kind: Kind, key: str) -> Iterator[Path]:
    """The results of this kind and key below an output folder: one, or none."""
    folder, ending = output / STORE / kind.folder, f".{key}{kind.suffix}"
    # Not with `glob`: Python keeps each of thousands of patterns, and every key is another one.
    names = os.listdir(folder) if folder.is_dir() else []
    return (folder / name for name in names if name.endswith(ending) and name[0] != ".")
