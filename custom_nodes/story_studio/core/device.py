"""Where ComfyUI computes, and the flags that it was started with."""

from __future__ import annotations

import importlib

import comfy.model_management
from comfy.cli_args import args


def computes_on_cpu() -> bool:
    """Whether models run on the CPU."""
    return comfy.model_management.get_torch_device().type == "cpu"


def reads_weights_as_needed() -> bool:
    """Whether weights stay in their files until they are used (dynamic VRAM), so that they take no memory."""
    try:
        return bool(importlib.import_module("comfy.memory_management").aimdo_enabled)
    except (ImportError, AttributeError):
        # Older versions read whole files.
        return False


def flags() -> list[str]:
    """The switches that are on, such as `--fp8_e4m3fn_unet`, with underscores."""
    return [f"--{name}" for name, value in vars(args).items() if value is True]


def name() -> str:
    """What computes, by name."""
    return comfy.model_management.get_torch_device_name(comfy.model_management.get_torch_device())
