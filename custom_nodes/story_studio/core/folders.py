"""ComfyUI's folders and model files."""

from __future__ import annotations

import re
from pathlib import Path

import folder_paths


def output() -> Path:
    """ComfyUI's output folder."""
    return Path(folder_paths.get_output_directory())


def inputs() -> Path:
    """ComfyUI's input folder."""
    return Path(folder_paths.get_input_directory())


def input_file(name: str) -> Path | None:
    """A file of ComfyUI's input folder; None if there is none of this name in it."""
    return _file_in(inputs().resolve(), name)


def _file_in(folder: Path, name: str) -> Path | None:
    """The file of this name in a folder, or None, also for what is no name: a data URI, or one with NUL."""
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None
    except (OSError, ValueError):
        return None


def loadable(name: str) -> tuple[Path, dict[str, str]] | None:
    """The file that a stock loader reads by this name, such as `voice.wav` or `voice.wav [output]`.

    Returns:
        Its path, and how /view addresses it; None if there is no such file in ComfyUI's folders.
    """
    plain, annotated = folder_paths.annotated_filepath(name)
    folder = Path(annotated or inputs()).resolve()
    path = _file_in(folder, plain)
    if path is None:
        return None
    kind = re.search(r"\[(input|output|temp)\]$", name)
    relative = path.relative_to(folder)
    subfolder = "" if relative.parent == Path() else relative.parent.as_posix()
    return path, {"filename": path.name, "subfolder": subfolder, "type": kind[1] if kind else "input"}


def temporary() -> Path:
    """ComfyUI's folder for temporary files, which is emptied at its start."""
    return Path(folder_paths.get_temp_directory())


def model_names(kind: str) -> list[str]:
    """Model files of a kind, such as `vae`, named as in ComfyUI's loaders."""
    return folder_paths.get_filename_list(kind)


def model_file(kind: str, name: str) -> str:
    """The path of a model file. Raises FileNotFoundError if there is none."""
    return folder_paths.get_full_path_or_raise(kind, name)


def embeddings() -> list[str]:
    """The folders with textual inversion embeddings."""
    return folder_paths.get_folder_paths("embeddings")


def find_model(kind: str, name: str) -> str | None:
    """The path of a model file; None if there is none."""
    return folder_paths.get_full_path(kind, name)
