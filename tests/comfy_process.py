"""ComfyUI inside the test's own process: import this module before anything that imports `comfy`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from driver.paths import COMFYUI

if str(COMFYUI) not in sys.path:
    sys.path.append(str(COMFYUI))

# isort: split
from comfy.cli_args import args

# Otherwise ComfyUI requests a CUDA device on import, and fails where there is none.
args.cpu = True


def load_vae(path: Path, dtype: torch.dtype) -> Any:
    """ComfyUI's VAE from a file, working in `dtype`."""
    import comfy.sd
    import comfy.utils

    return comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(path)), dtype=dtype)
