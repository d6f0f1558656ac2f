"""The model files that the nodes of an API workflow name."""

from __future__ import annotations

from collections.abc import Iterator

from .keys import Node
from .recipes import Recipe

EXTENSIONS = (".safetensors", ".sft", ".gguf", ".pt", ".pth", ".ckpt", ".bin")
TEXT_ENCODERS = "text_encoders"
_FOLDER_OF_INPUT = {
    "audio_encoder": "audio_encoders",
    "ckpt": "checkpoints",
    "clip": TEXT_ENCODERS,
    "clip_vision": "clip_vision",
    "control_net": "controlnet",
    "diffusion_model": "diffusion_models",
    "lora": "loras",
    "model": "upscale_models",
    "text_encoder": TEXT_ENCODERS,
    "unet": "diffusion_models",
    "vae": "vae",
}
_FOLDER_OF_CLASS = {
    "CLIPVisionLoader": "clip_vision",
    "FrameInterpolationModelLoader": "frame_interpolation",
    "ModelPatchLoader": "model_patches",
}
"""Loaders whose input has a name that says nothing of the folder."""


def folder_of(input_name: str, class_type: str = "") -> str | None:
    """The folder below `models` of the files that an input names, by the input's name and its node's class;
    None if unknown."""
    if folder := _FOLDER_OF_CLASS.get(class_type):
        return folder
    return _FOLDER_OF_INPUT.get(input_name.rstrip("0123456789").removesuffix("_name"))


def is_model_file(value: object) -> bool:
    """Whether an input's value is the name of a model file, judging from its extension."""
    return isinstance(value, str) and value.lower().endswith(EXTENSIONS)


def named_files(node: Node) -> Iterator[tuple[str, str]]:
    """The folder and name of each model file that a node names, where the folder is known."""
    for name, value in node["inputs"].items():
        if is_model_file(value) and (folder := folder_of(name, node["class_type"])):
            yield folder, value


def has_models(recipe: Recipe | None) -> bool:
    """Whether a recipe names a model file."""
    nodes = recipe.nodes.values() if recipe else ()
    return any(is_model_file(value) for node in nodes for value in node["inputs"].values())
