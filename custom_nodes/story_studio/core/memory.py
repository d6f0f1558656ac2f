"""Out-of-memory errors, and freeing memory."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

import comfy.model_management
import torch


def release_cache() -> None:
    """Frees the memory that PyTorch caches."""
    comfy.model_management.soft_empty_cache()


def release_unused() -> None:
    """Gives the memory of models that nothing refers to any more back to the system."""
    gc.collect()
    comfy.model_management.cleanup_models()
    release_cache()
    # glibc keeps freed blocks below 32 MB, which most weights are, for later requests of the same size.
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


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
