"""Where model files are looked for, and in which order: by the driver, by `doctor` and by ComfyUI.

RunPod recommends its sources in the same order, the fastest first: its cached models, which are on the
machine before a worker is billed, then what is in the image, then the network volume.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..paths import IN_IMAGE

MODEL_FOLDERS = (
    *("audio_encoders", "checkpoints", "classifiers", "clip_vision", "configs", "controlnet", "diffusers"),
    *("diffusion_models", "embeddings", "frame_interpolation", "gligen", "hypernetworks"),
    *("latent_upscale_models", "loras", "model_patches", "photomaker", "style_models", "text_encoders"),
    *("upscale_models", "vae", "vae_approx"),
)
_LEGACY = {"diffusion_models": "unet", "text_encoders": "clip", "controlnet": "t2i_adapter"}
"""Older names of model folders that ComfyUI still reads."""


def model_roots(models: Path) -> list[Path]:
    """The folders in ComfyUI's layout that exist, by precedence.

    Args:
        models: the folder of models, such as RunPod's volume: in ComfyUI's layout itself, or with a folder
            `models` that is. RunPod's cached models are below it, too.
    """
    roots = [*_cached(models), IN_IMAGE, models / "models", models]
    return [root for root in dict.fromkeys(roots) if root and root.is_dir()]


def folder_names(folder: str) -> list[str]:
    """The names that a model folder may have below a root, by precedence."""
    return [folder, _LEGACY[folder]] if folder in _LEGACY else [folder]


def places(models: Path, folder: str, file: str) -> Iterator[Path]:
    """The paths at which a model file exists, whole or not, by precedence."""
    for root in model_roots(models):
        for name in folder_names(folder):
            if (path := root / name / file).is_file():
                yield path


def _cached(models: Path) -> Iterator[Path]:
    """Folders in ComfyUI's layout among RunPod's cached models: of repositories as ComfyUI's makers lay them
    out, or whose top folder is laid out so itself."""
    for repository in sorted(models.glob("huggingface-cache/hub/models--*")):
        for snapshot in _snapshots(repository):
            yield from (snapshot / "split_files", snapshot)


def _snapshots(repository: Path) -> list[Path]:
    """A cached repository's snapshots, first that of `main`, which the Hub's own code would use."""
    main = ""
    with suppress(OSError, UnicodeDecodeError):
        main = (repository / "refs" / "main").read_text(encoding="utf-8").strip()
    return sorted(repository.glob("snapshots/*"), key=lambda path: (path.name != main, path.name))
