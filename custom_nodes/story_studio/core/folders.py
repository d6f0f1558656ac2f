"""ComfyUI's folders and model files."""

from __future__ import annotations

from pathlib import Path

import folder_paths


def output() -> Path:
    """ComfyUI's output folder."""
    return Path(folder_paths.get_output_directory())


def input_file(name: str) -> Path | None:
    """A file of ComfyUI's input folder; None if there is none of this name in it."""
    folder = Path(folder_paths.get_input_directory()).resolve()
    path = (folder / name).resolve()
    return path if path.is_relative_to(folder) and path.is_file() else None


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
