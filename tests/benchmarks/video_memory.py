"""The memory of the first NVIDIA card, asked for twice a second."""

from __future__ import annotations

import os
import subprocess
import threading


class VideoMemory:
    """Asks within its block. Without an NVIDIA card, or without its tools, it knows nothing."""

    def __init__(self) -> None:
        self._peak_mib = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> VideoMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def forget_peak(self) -> None:
        """Begins a new measurement."""
        self._peak_mib = 0.0

    def peak_gb(self) -> float | None:
        """The most memory in use since then, in GB, of all processes together; None if it is unknown.

        PyTorch keeps what it has once allocated, so a short peak is seen, too.
        """
        return self._peak_mib * 2**20 / 1e9 or None

    def _sample(self) -> None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() or "0"
        query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        while not self._ended.wait(0.5):
            try:
                # One process that repeats the answer may hold it back in a buffer.
                answer = subprocess.run(
                    ["nvidia-smi", "-i", visible, *query], capture_output=True, text=True, timeout=20
                ).stdout
                self._peak_mib = max(self._peak_mib, float(answer))
            except OSError:
                return
            except (subprocess.TimeoutExpired, ValueError):
                continue
