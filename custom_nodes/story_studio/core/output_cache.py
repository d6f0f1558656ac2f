"""The cache of the running prompt: models and frames are removed from it, and what it has of results is
reported.

ComfyUI keeps the outputs of a prompt's nodes until the prompt ends, and in some caches for longer. Without a
cached output a node runs again if it is needed again: a loader reads its file. ComfyUI passes the cache to no
node: the function that runs the nodes has it.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from typing import Any

import execution
from comfy.model_patcher import ModelPatcher
from comfy_execution.graph import ExecutionList

from . import memory, server


def release_models(keep: Collection[str]) -> None:
    """Removes the models that nodes other than `keep` have loaded or patched. Call it within a node."""
    caches = _running("caches", execution.CacheSet)
    cache = caches and caches.outputs
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


def report_cached(node_ids: Iterable[str]) -> None:
    """Lets ComfyUI report the outputs of those nodes that are cached, as it does for the targets of a prompt.
    Call it within a node."""
    pending = _running("execution_list", ExecutionList)
    for node_id in node_ids if pending else ():
        if pending.is_cached(node_id):
            pending.add_node(node_id)


def forget(node_ids: Collection[str]) -> None:
    """Removes the outputs of nodes, also of those that others expanded into. Call it within a node."""
    caches = _running("caches", execution.CacheSet)
    pending: list[Any] = [caches.outputs] if caches else []
    while pending:
        cache = pending.pop()
        # Without a cache (--cache-none) there is nothing to remove.
        if outputs := getattr(cache, "cache", {}):
            for node_id in node_ids:
                outputs.pop(cache.cache_key_set.get_data_key(node_id), None)
        pending += getattr(cache, "subcaches", {}).values()


def show_on(node_id: str, output: dict[str, Any]) -> None:
    """Shows what a node of the queued prompt has made, from within a node that it was expanded into.

    ComfyUI would keep and report it under the name of the inner node, which nobody has queued.
    """
    shown = _running("ui_outputs", dict)
    about = {"node_id": node_id, "display_node": node_id, "parent_node": None, "real_node_id": node_id}
    if shown is not None:
        shown[node_id] = {"meta": about, "output": output}
    server.send_executed(node_id, output)


def is_cached(node_id: str) -> bool:
    """Whether the running prompt has the outputs of a node. Call it within a node."""
    pending = _running("execution_list", ExecutionList)
    return bool(pending and pending.is_cached(node_id))


def _running(name: str, cls: type) -> Any:
    """A variable of the function that runs the prompt's nodes; None if there is none of this class."""
    frame = sys._getframe()
    while frame := frame.f_back:
        if isinstance(value := frame.f_locals.get(name), cls):
            return value
    return None


def _holds_model(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_holds_model, value))
    # A CLIP, VAE or AUDIO_ENCODER has a patcher, and a CONTROL_NET a list of models.
    patchers = (value, getattr(value, "patcher", None))
    return any(isinstance(patcher, ModelPatcher) for patcher in patchers) or callable(
        getattr(value, "get_models", None)
    )
