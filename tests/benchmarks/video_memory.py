"""The memory of the first NVIDIA card, sampled five times a second."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import suppress


class VideoMemory:
    """Samples until it is closed. Without an NVIDIA card, or without its tools, it knows nothing."""

    def __init__(self) -> None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() or "0"
        query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        self._peak_mib = 0.0
        self._process: subprocess.Popen[str] | None = None
        with suppress(OSError):
            self._process = subprocess.Popen(
                ["nvidia-smi", "-i", visible, *query, "-lms", "200"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            threading.Thread(target=self._sample, daemon=True).start()

    def __enter__(self) -> VideoMemory:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def forget_peak(self) -> None:
        """Begins a new measurement."""
        self._peak_mib = 0.0

    def peak_gb(self) -> float | None:
        """The most memory in use since then, in GB, of all processes together; None if it is unknown."""
        return self._peak_mib * 2**20 / 1e9 or None

    def _sample(self) -> None:
        assert self._process and self._process.stdout
        for line in self._process.stdout:
            with suppress(ValueError):
                self._peak_mib = max(self._peak_mib, float(line))
