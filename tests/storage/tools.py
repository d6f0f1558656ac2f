"""Files for the stores."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

KEY = "StoryStudio/img_20251204_123456.png"
LARGE = 32 * 2**20 + 7
"""Three parts."""


def make(path: Path, size: int = 1000) -> Path:
    path.write_bytes(random.Random(size).randbytes(size))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
