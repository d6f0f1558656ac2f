"""What ComfyUI's own loader makes of a recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tests.comfy_process  # noqa: F401 -- it hides the GPU before anything imports ComfyUI
from driver.files import sha256_of
from driver.rendering.recordings import Recording, read_recording

# isort: split
from comfy_extras.nodes_audio import load


def read(path: Path, folder: Path) -> tuple[Recording, np.ndarray, int]:
    """The recording, and what ComfyUI's loader reads of what the server gets."""
    clean = folder / "clean"
    clean.mkdir(exist_ok=True)
    recording = read_recording(path, clean)
    on_server = folder / Path(recording.server_name).name
    on_server.write_bytes(recording.path.read_bytes())
    waveform, rate = load(str(on_server))
    assert waveform.shape[1] / rate == pytest.approx(recording.seconds, abs=0.001)
    assert recording.sha256 == sha256_of(recording.path)
    return recording, waveform.float().numpy(), rate
