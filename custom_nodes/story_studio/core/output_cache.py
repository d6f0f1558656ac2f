"""Removing models from the cache of the running prompt, so that their memory is free within it.

ComfyUI keeps the outputs of a prompt's nodes until the prompt ends, and in some caches for longer. Without a
cached output a node runs again if it is needed again: a loader reads its file.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any

import execution
from comfy.model_patcher import ModelPatcher

from . import memory


def release_models(keep: Collection[str]) -> None:
    """Removes the models that nodes other than `keep` have loaded or patched. Call it within a node."""
    cache = _running_cache()
    # Without a cache (--cache-none) there is nothing to remove.
    outputs = getattr(cache, "cache", {})
    if not outputs:
        return
    kept = {cache.cache_key_set.get_data_key(node_id) for node_id in keep}
    removed = [
        key for key, entry in outputs.items() if key not in kept and any(map(_holds_model, entry.outputs))
    ]
    for key in removed:
        del outputs[key]
    if removed:
        memory.release_unused()


def _running_cache() -> Any:
    """The cache of the nodes' outputs. ComfyUI passes it to no node: the function that runs them has it."""
    frame = sys._getframe()
    while frame := frame.f_back:
        caches = frame.f_locals.get("caches")
        if isinstance(caches, execution.CacheSet):
            return caches.outputs
    return None


def _holds_model(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_holds_model, value))
    # A CLIP, VAE or AUDIO_ENCODER has a patcher, and a CONTROL_NET a list of models.
    patchers = (value, getattr(value, "patcher", None))
    return any(isinstance(patcher, ModelPatcher) for patcher in patchers) or callable(
        getattr(value, "get_models", None)
    )
