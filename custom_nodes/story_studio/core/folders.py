"""ComfyUI's folders and model files."""

from __future__ import annotations

from pathlib import Path

import folder_paths


def output() -> Path:
    """The folder of results."""
    return Path(folder_paths.get_output_directory())


def temporary() -> Path:
    """The folder that ComfyUI empties when it starts."""
    return Path(folder_paths.get_temp_directory())


def model_names(kind: str) -> list[str]:
    """The files in a kind of model folder, such as `vae`, as loaders name them."""
    return folder_paths.get_filename_list(kind)


def model_file(kind: str, name: str) -> str:
    """The path of a model file. Raises FileNotFoundError."""
    return folder_paths.get_full_path_or_raise(kind, name)


def embeddings() -> list[str]:
    """The folders of textual inversions."""
    return folder_paths.get_folder_paths("embeddings")
