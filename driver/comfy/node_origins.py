"""Where nodes of common recipes come from that a ComfyUI may lack."""

from __future__ import annotations

from collections.abc import Collection

from story_studio.story.classes import OURS
from story_studio.story.problems import nearest

_GGUF = "the node pack ComfyUI-GGUF (https://github.com/city96/ComfyUI-GGUF)"
_ORIGINS = {
    "FrameInterpolate": "ComfyUI 0.33.0",
    "FrameInterpolationModelLoader": "ComfyUI 0.33.0",
    "WanInfiniteTalkToVideo": "ComfyUI 0.11.0",
    "UnetLoaderGGUF": _GGUF,
    "UnetLoaderGGUFAdvanced": _GGUF,
    "CLIPLoaderGGUF": _GGUF,
    "DualCLIPLoaderGGUF": _GGUF,
    "TripleCLIPLoaderGGUF": _GGUF,
    "QuadrupleCLIPLoaderGGUF": _GGUF,
}


def remedy(class_type: str, known: Collection[str]) -> str:
    """What to do where a class of node is missing, as the end of a sentence.

    Args:
        class_type: the class.
        known: the classes that are there.
    """
    if class_type.startswith(OURS):
        return "install the node pack there with ./install.sh --into, then restart it."
    if origin := _ORIGINS.get(class_type):
        return f"{origin} has it."
    hint = nearest(class_type, known)
    lacking = "install the node pack that has it, or update ComfyUI."
    return f"{hint} If not, {lacking}" if hint.startswith("did") else lacking
