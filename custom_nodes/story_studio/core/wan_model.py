"""The network of Wan2.2 S2V: its properties, and patching methods of its modules."""

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
    """Width of the text embeddings that a Wan2.2 S2V MODEL takes, which is that of umt5."""
    return model.model.diffusion_model.text_dim


def audio_shape(model: Any) -> tuple[int, int]:
    """Layers and width of the audio features that a Wan2.2 S2V MODEL takes."""
    encoder = model.model.diffusion_model.casual_audio_encoder
    return encoder.weights.shape[1], encoder.encoder.conv1_local.conv.in_channels


def shift(model: Any) -> float:
    """The shift of a MODEL's noise schedule; 1 if it has none."""
    return getattr(model.get_model_object("model_sampling"), "shift", 1.0)


def patch_method(model: Any, module: str, method: str, wrap: Callable[[Method], Method]) -> None:
    """Wraps a method of a module of the network for as long as ComfyUI uses this clone of the MODEL.

    The class of the module is replaced by a subclass, so that the method always gets the module it is called
    on: ComfyUI applies patches also to copies of the network on other devices. If another node pack has set
    the method on the module itself, which hides that of the class, that function is wrapped instead. A module
    that is already patched is left unchanged.

    Args:
        model: a clone.
        module: the name of the module in the MODEL.
        method: the name of the method.
        wrap: returns the new method for the existing one; both take the module as their first argument.
    """
    existing = model.object_patches.get(f"{module}.{method}")
    if existing is None:
        name = f"{module}.__class__"
        model.add_object_patch(name, _subclass(model.get_model_object(name), method, wrap))
    elif not hasattr(existing, "story_studio_patches"):
        patched = partial(wrap(lambda _module, *args, **kwargs: existing(*args, **kwargs)), None)
        patched.story_studio_patches = (wrap,)  # pyright: ignore[reportAttributeAccessIssue]
        model.add_object_patch(f"{module}.{method}", patched)


def patch_sampling(model: Any, method: str, wrap: Callable[[Method], Method]) -> None:
    """Wraps a method of the MODEL's `model_sampling`, of which the clone gets its own copy."""
    sampling = copy.deepcopy(model.get_model_object("model_sampling"))
    sampling.__class__ = _subclass(type(sampling), method, wrap)
    model.add_object_patch("model_sampling", sampling)


@cache
def _subclass(cls: type, method: str, wrap: Callable[[Method], Method]) -> type:
    applied = getattr(cls, "story_studio_patches", ())
    if wrap in applied:
        return cls
    members = {method: wrap(getattr(cls, method)), "story_studio_patches": (*applied, wrap)}
    return type(cls.__name__, (cls,), members)
