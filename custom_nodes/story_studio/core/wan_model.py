"""The network of Wan2.2 S2V: what it is made of, and how a MODEL gets other methods in its parts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import comfy.model_base

AUDIO_ENCODER = "diffusion_model.casual_audio_encoder"
FRAME_PACKER = "diffusion_model.frame_packer"

Method = Callable[..., Any]


def is_s2v(model: Any) -> bool:
    """Whether a MODEL is Wan2.2 S2V."""
    return isinstance(getattr(model, "model", None), comfy.model_base.WAN22_S2V)


def text_width(model: Any) -> int:
    """Numbers in a token of the prompts that a MODEL of Wan2.2 S2V takes: those of umt5."""
    return model.model.diffusion_model.text_dim


def audio_shape(model: Any) -> tuple[int, int]:
    """Layers and width of the audio features that a MODEL of Wan2.2 S2V takes."""
    encoder = model.model.diffusion_model.casual_audio_encoder
    return encoder.weights.shape[1], encoder.encoder.conv1_local.conv.in_channels


def shift(model: Any) -> float:
    """The shift of a MODEL's noise schedule."""
    return getattr(model.get_model_object("model_sampling"), "shift", 1.0)


def patch_method(model: Any, part: str, method: str, change: Callable[[Method], Method]) -> None:
    """Gives a part of the network another method for as long as ComfyUI uses this clone of the MODEL.

    The part gets a subclass of its class, so that a method finds the part that it is called on: ComfyUI hands
    patches on to copies of the network on other devices. Where another node pack has patched the method of
    the part itself, which hides those of its class, that patch is called instead of the class's method. A
    part that is changed already is left as it is.

    Args:
        model: a clone.
        part: its name in the MODEL.
        method: what is to be another.
        change: makes a new method of the one that is there; both take the part as their first argument.
    """
    patched = model.object_patches.get(f"{part}.{method}")
    if patched is None:
        name = f"{part}.__class__"
        model.add_object_patch(name, _subclass(model.get_model_object(name), method, change))
    elif not hasattr(patched, "story_studio_changes"):
        changed = partial(change(lambda _part, *args, **kwargs: patched(*args, **kwargs)), None)
        changed.story_studio_changes = (change,)  # pyright: ignore[reportAttributeAccessIssue]
        model.add_object_patch(f"{part}.{method}", changed)


def patch_sampling(model: Any, method: str, change: Callable[[Method], Method]) -> None:
    """The same for the MODEL's `model_sampling`, of which the clone gets a copy."""
    sampling = copy.deepcopy(model.get_model_object("model_sampling"))
    sampling.__class__ = _subclass(type(sampling), method, change)
    model.add_object_patch("model_sampling", sampling)


@cache
def _subclass(cls: type, method: str, change: Callable[[Method], Method]) -> type:
    if change in getattr(cls, "story_studio_changes", ()):
        return cls
    changes = (*getattr(cls, "story_studio_changes", ()), change)
    return type(cls.__name__, (cls,), {method: change(getattr(cls, method)), "story_studio_changes": changes})
