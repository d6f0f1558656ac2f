"""Memory that runs out."""

from __future__ import annotations

import comfy.model_management
import torch


def release_cache() -> None:
    """Gives memory back that PyTorch holds for later."""
    comfy.model_management.soft_empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the accelerator's memory is full.

    Since 0.17 ComfyUI can be asked, and then clears CUDA's pending error too. Before, CUDA's asynchronous
    allocator could report the same as an `AcceleratorError`, which ComfyUI did not know.
    """
    if ask := getattr(comfy.model_management, "is_oom", None):
        return ask(error)
    if isinstance(error, comfy.model_management.OOM_EXCEPTION):
        return True
    kind = getattr(torch, "AcceleratorError", ())
    return isinstance(error, kind) and "out of memory" in str(error).lower()
