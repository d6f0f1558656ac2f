"""The model files that profiles need, and those that a graph names and a server lacks."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from story_studio.story.memory import WORKING_GB
from story_studio.story.model_files import folder_of, is_model_file
from story_studio.weights import memory_of

from .client import Comfy
from .model_roots import places


class ModelFile(NamedTuple):
    """A model file: its name, its folder below `models`, its size in GB (10^9 bytes) and its address.

    `needed_by` are the profiles that load it. What is unknown about a user's own file is None.
    """

    file: str
    folder: str | None
    gb: float | None
    url: str | None
    needed_by: tuple[str, ...] = ()

    def __str__(self) -> str:
        size = f" ({self.gb:.3g} GB)" if self.gb else ""
        return (
            f"{self.file}{size} belongs in models/{self.folder or '...'}{f': {self.url}' if self.url else ''}"
        )


@cache
def known_models() -> tuple[ModelFile, ...]:
    """The files of models.json that profiles need."""
    return tuple(model for model in listed_models() if model.needed_by)


@cache
def listed_models() -> tuple[ModelFile, ...]:
    """The files of models.json, also those of recipes that no profile has."""
    data = json.loads(Path(__file__).with_name("models.json").read_text(encoding="utf-8"))
    return tuple(ModelFile(**{**entry, "needed_by": tuple(entry["needed_by"])}) for entry in data)


def missing(graph: Mapping[str, Any], comfy: Comfy) -> list[ModelFile]:
    """The model files that a graph names and the server does not have, each once, in the graph's order.

    Raises:
        ComfyError: the server does not answer.
    """
    lacking = missing_of(graph, comfy.object_info())
    # A file may have been added since `object_info` was last requested.
    return missing_of(graph, comfy.object_info(refresh=True)) if lacking else []


def read_by(node: Mapping[str, Any], comfy: Comfy) -> list[str]:
    """The model files that a node of a graph reads from disk when it runs."""
    return [value for _, value, _ in _named(node, comfy.object_info())]


def locate(models: Path, model: ModelFile) -> Path | None:
    """The path of a model file, if it is complete in one of the `model_roots` of this folder."""
    return next(filter(_whole, places(models, model.folder or "", model.file)), None)


def overshadowed(models: Path) -> dict[str, Path]:
    """The complete files behind incomplete ones that ComfyUI, which does not look into them, would choose.

    Returns:
        Their paths by the name below a root, such as `vae/ae.safetensors`.
    """
    found: dict[str, Path] = {}
    for model in known_models():
        path = locate(models, model)
        if path and path != next(places(models, model.folder or "", model.file)):
            found[f"{model.folder}/{model.file}"] = path
    return found


def fits_in_memory(models: Path, ram_gb: float, on_cpu: bool, flags: Collection[str]) -> bool:
    """Whether a machine holds all models of the smallest profile whose files are there, or has none of them.

    Args:
        models: the folder of models.
        ram_gb: the machine's memory in GB (10^9 bytes).
        on_cpu: whether ComfyUI runs on a CPU.
        flags: ComfyUI's flags.
    """
    needs: list[float] = []
    for profile in {profile for model in known_models() for profile in model.needed_by}:
        files = [(model, locate(models, model)) for model in known_models() if profile in model.needed_by]
        sizes = [memory_of(path, model.folder or "", on_cpu, flags) for model, path in files if path]
        if len(sizes) == len(files):
            needs.append(sum(sizes) + WORKING_GB)
    return not needs or min(needs) <= ram_gb


def warm(models: Path, profile: str) -> tuple[int, float]:
    """Reads a profile's model files once, so that ComfyUI finds them in the operating system's file cache.

    Returns:
        The number of its files that are there, and the GB (10^9 bytes) that were read.
    """
    paths = [locate(models, model) for model in known_models() if profile in model.needed_by]
    present = [path for path in paths if path]
    block = bytearray(2**24)
    for path in present:
        with path.open("rb", buffering=0) as file:
            while file.readinto(block):
                pass
    return len(present), sum(path.stat().st_size for path in present) / 1e9


def missing_of(graph: Mapping[str, Any], classes: Mapping[str, Any]) -> list[ModelFile]:
    """As `missing`, for a server with these classes, as its `object_info` has them."""
    known = {model.file: model for model in listed_models()}
    lacking: dict[ModelFile, None] = {}
    for node in graph.values():
        for name, value, options in _named(node, classes):
            if value not in options:
                folder = folder_of(name, node["class_type"])
                file = value.replace("\\", "/").rpartition("/")[2]
                lacking[known.get(file, ModelFile(value, folder, None, None))] = None
    return list(lacking)


def _named(node: Mapping[str, Any], classes: Mapping[str, Any]) -> Iterator[tuple[str, str, list[Any]]]:
    """A node's inputs that name a model file: name, value, and the values that the server allows."""
    inputs = classes.get(node["class_type"], {}).get("input", {})
    declared = {**inputs.get("required", {}), **inputs.get("optional", {})}
    for name, value in node["inputs"].items():
        options = options_of(declared.get(name))
        if is_model_file(value) and options is not None:
            yield name, value, options


def options_of(declared: Any) -> list[Any] | None:
    """The values that an input allows, as declared by V1 or V3 nodes; None if it is not a choice."""
    if not declared:
        return None
    if isinstance(declared[0], list):
        return declared[0]
    settings = declared[1] if len(declared) > 1 else {}
    return settings.get("options") if declared[0] == "COMBO" else None


def _whole(path: Path) -> bool:
    """Whether a safetensors file is as long as its header says, which an incomplete download is not."""
    if path.suffix != ".safetensors":
        return True
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                return False
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return path.stat().st_size >= 8 + length + max(ends, default=0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
