"""Synthetic voices."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def write_voice(path: Path, seconds: float, pitch: float = 140.0, rate: int = 16_000) -> Path:
    """A voice-like sound: a pitch with overtones, in syllables."""
    time = np.arange(round(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 6))
    sound = 0.3 * tone * np.clip(np.sin(2 * np.pi * 3 * time), 0, 1)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray((sound * 20_000).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = rate
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path
