"""A file that a story brings: where it is, what is in it, and what was noticed about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from story_studio.story.results import STORE

from ..files import content_name


@dataclass(frozen=True)
class InputFile:
    """A local file.

    Attributes:
        path: the file.
        sha256: of its content.
        warnings: what the user should know about it, a sentence each.
    """

    path: Path
    sha256: str
    warnings: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def server_name(self) -> str:
        """What it is called in ComfyUI's input folder; the same content has the same name."""
        return f"{STORE}/{content_name(self.path.name, self.sha256)}"


def must_exist(path: Path) -> None:
    """Raises ValueError if the path is no file."""
    if not path.is_file():
        raise ValueError(f"{path} does not exist: paths are relative to the story file's folder.")
