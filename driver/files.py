"""Files on this machine."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = ROOT / "workflows"
COMFYUI = Path(os.environ.get("COMFYUI_DIR") or ROOT / "ComfyUI").absolute()
"""The ComfyUI that is started: the one that install.sh has set up, or the folder that COMFYUI_DIR names."""


def sha256_of(path: Path) -> str:
    """A file's SHA-256 in hexadecimal digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
