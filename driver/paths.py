"""Where things are on this machine: the checkout, ComfyUI, and what to do where they are missing."""

from __future__ import annotations

import os
from pathlib import Path

_DRIVER = Path(__file__).resolve().parent
IS_CHECKOUT = (_DRIVER.parent / "install.sh").is_file()
ROOT = _DRIVER.parent if IS_CHECKOUT else Path.cwd()
"""Where ComfyUI and the workspace are if no other place is named: the checkout, or this folder."""
IN_IMAGE = ROOT / "models" if IS_CHECKOUT else None
"""Model files that an image brings along, in ComfyUI's layout: its build argument MODELS puts them there."""
NODE_PACKS = ROOT / "custom_nodes" if IS_CHECKOUT else None
"""Story Studio's node pack, and others that an image may have beside it."""
COMFYUI = Path(os.environ.get("COMFYUI_DIR") or ROOT / "ComfyUI").absolute()
"""The ComfyUI that is started: the one that install.sh has set up, or the folder that COMFYUI_DIR names."""
SET_UP = "run ./install.sh" if IS_CHECKOUT else "set up ComfyUI and name its folder with COMFYUI_DIR"
"""What to do where ComfyUI is missing."""
PACKAGES = "run ./install.sh" if IS_CHECKOUT else "install ComfyUI's requirements.txt into this Python"
"""What to do where PyTorch and the other packages that ComfyUI needs are missing."""
