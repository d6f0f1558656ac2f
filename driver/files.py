"""Files on this machine."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DRIVER = Path(__file__).resolve().parent
IS_CHECKOUT = (DRIVER.parent / "install.sh").is_file()
ROOT = DRIVER.parent if IS_CHECKOUT else Path.cwd()
"""Where ComfyUI and the workspace are if no other place is named: the checkout, or this folder."""
WORKFLOWS = ROOT / "workflows"
COMFYUI = Path(os.environ.get("COMFYUI_DIR") or ROOT / "ComfyUI").absolute()
"""The ComfyUI that is started: the one that install.sh has set up, or the folder that COMFYUI_DIR names."""
SET_UP = "run ./install.sh" if IS_CHECKOUT else "set up ComfyUI and name its folder with COMFYUI_DIR"
"""What to do where ComfyUI is missing."""
PACKAGES = "run ./install.sh" if IS_CHECKOUT else "install ComfyUI's requirements.txt into this Python"
"""What to do where PyTorch and the other packages that ComfyUI needs are missing."""


def sha256_of(path: Path) -> str:
    """A file's SHA-256 in hexadecimal digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it replaces `path` if the block succeeds, and is removed otherwise.

    So `path` is never there in part, not even after a crash of the machine. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        yield aside
        with aside.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(aside, path)
    finally:
        # Still there after a failure, and if `aside` and `path` were hard links to one file.
        aside.unlink(missing_ok=True)
