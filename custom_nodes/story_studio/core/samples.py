"""The files that the examples start with: copied to where Load Image and Load Audio find them."""

from __future__ import annotations

import shutil
from pathlib import Path

import folder_paths

from ..files import written_aside

FOLDER = Path(__file__).parents[1] / "samples"
PREFIX = "story_studio_"
"""Begins the name of every sample: no file of the user's own is taken for one."""


def add_missing() -> list[str]:
    """Copies the samples that the input folder lacks, and returns their names.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder = Path(folder_paths.get_input_directory())
    missing = [path for path in sorted(FOLDER.glob(f"{PREFIX}*")) if not (folder / path.name).exists()]
    for path in missing:
        with written_aside(folder / path.name) as aside:
            shutil.copyfile(path, aside)
    return [path.name for path in missing]
