"""Out-of-memory errors and freeing cached memory."""

from __future__ import annotations

import comfy.model_management
import torch


def release_cache() -> None:
    """Frees the memory that PyTorch caches."""
    comfy.model_management.soft_empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the accelerator is out of memory.

    Since 0.17 ComfyUI has `is_oom`, which also clears CUDA's pending error. Older versions do not recognise
    the `AcceleratorError` that CUDA's asynchronous allocator can raise.
    """
    if is_oom := getattr(comfy.model_management, "is_oom", None):
        return is_oom(error)
    if isinstance(error, comfy.model_management.OOM_EXCEPTION):
        return True
    kind = getattr(torch, "AcceleratorError", ())
    return isinstance(error, kind) and "out of memory" in str(error).lower()
