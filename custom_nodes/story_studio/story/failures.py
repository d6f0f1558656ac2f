"""What a node's error says of the machine: there, other scenes are not to blame, or would fail as well."""

from __future__ import annotations

import errno
import os

FULL = (errno.ENOSPC, errno.EDQUOT)
"""The codes of a disk or a quota that is full."""


def ran_out_of_memory(kind: str, message: str) -> bool:
    """Whether the GPU or the machine ran out of memory, by an exception's type and message; sometimes only
    PyTorch's message says so."""
    text = message.lower()
    return (
        kind.endswith(("OutOfMemoryError", "MemoryError"))
        or "out of memory" in text
        or "can't allocate memory" in text
    )


def says_disk_full(text: str) -> bool:
    """Whether a text, which may be another program's, says that a disk or a quota is full."""
    return any(os.strerror(code) in text or f"[Errno {code}]" in text for code in FULL)
