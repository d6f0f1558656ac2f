"""What the kernel knows about a running ComfyUI. Linux only: no other kernel can forget a process's peak."""

from __future__ import annotations

import os
from pathlib import Path

from tests.studio import is_comfyui


class Process:
    """The ComfyUI that listens on a port of this machine.

    Raises:
        RuntimeError: there is none.
    """

    def __init__(self, port: int) -> None:
        self._folder = _find(port)

    def cpu_seconds(self) -> float:
        """Seconds that all of its threads have worked; unlike wall time, others on the machine add little."""
        # The process's name, in brackets, may hold spaces.
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def forget_peak(self) -> None:
        """Makes the kernel forget the peak so far."""
        (self._folder / "clear_refs").write_text("5")

    def peak_mb(self) -> float:
        """The greatest resident size since then, in MB."""
        lines = (self._folder / "status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))


def _find(port: int) -> Path:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = path.read_bytes().decode(errors="replace").split("\0")
        if is_comfyui(words) and str(port) in words:
            return path.parent
    raise RuntimeError(f"No ComfyUI at port {port} is found in /proc.")
