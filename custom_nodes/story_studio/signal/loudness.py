"""How loud audio is by EBU R128 (ITU-R BS.1770), and the gain that brings a voice to a loudness."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from av.filter import Graph
from av.filter.context import FilterContext

SAMPLE_RATE = 48_000
"""Hz, as in every film: at which BS.1770 states its filters."""
MOST_BOOST = 30.0
"""dB. What needs more than this was not recorded, only its noise was."""
_BLOCK = SAMPLE_RATE
"""Samples that are measured at a time."""
_REPORT = SAMPLE_RATE // 10
"""Samples after which ebur128 reports."""
_SHORTEST = round(0.5 * SAMPLE_RATE)
"""Samples that fill a gating block of 0.4 s; shorter audio is measured with silence after it."""
_TAIL_BYTES = 4096
_UNMEASURED = -69.9
"""LUFS that ebur128 reports where no block of audio passes the absolute gate of -70 LUFS."""


@dataclass(frozen=True)
class Loudness:
    """What was measured.

    Attributes:
        integrated: LUFS of the whole, gated; None if it is silent (below -70 LUFS).
        true_peak: dBTP of the louder channel; None if it is silent or was not asked for.
        range: loudness range by EBU Tech 3342, in LU.
    """

    integrated: float | None
    true_peak: float | None
    range: float


class Meter:
    """A context manager that measures audio which is added in blocks, with ffmpeg's `ebur128`.

    Peaks between samples take most of its time: `peaks` asks for them.
    """

    def __init__(self, peaks: bool = False) -> None:
        self._folder = TemporaryDirectory(prefix="story-studio-")
        # The frames' own metadata would do, but PyAV 14, which ComfyUI 0.3.75 allows, does not show it.
        self._log = Path(self._folder.name, "loudness")
        self._samples = 0
        self._graph = graph = Graph()
        source = audio_input(graph)
        graph.link_nodes(
            source,
            graph.add("ebur128", metadata="1", peak="true" if peaks else "none", framelog="quiet"),
            graph.add("ametadata", mode="print", direct="1", file=str(self._log)),
            graph.add("abuffersink"),
        ).configure()

    def add(self, block: np.ndarray) -> None:
        """Adds float32 [2, n] at 48 kHz."""
        for start in range(0, block.shape[1], _BLOCK):
            piece = block[:, start : start + _BLOCK]
            self._graph.push(audio_frame(piece, self._samples))
            self._samples += piece.shape[1]
            self._discard()

    def result(self) -> Loudness:
        """The loudness of what was added. Nothing can be added after."""
        short = max(_SHORTEST - self._samples, _REPORT - self._samples % _REPORT)
        self.add(np.zeros((2, short), np.float32))
        self._graph.push(None)
        self._discard()
        values = dict(line.split("=") for line in self._last_lines() if line.startswith("lavfi.r128."))
        integrated = float(values["lavfi.r128.I"])
        peak = max((float(value) for key, value in values.items() if "true_peaks_ch" in key), default=0.0)
        return Loudness(
            integrated if integrated > _UNMEASURED else None,
            20 * float(np.log10(peak)) if peak > 0 else None,
            float(values["lavfi.r128.LRA"]),
        )

    def _discard(self) -> None:
        while True:
            try:
                self._graph.pull()
            except (BlockingIOError, EOFError):
                return

    def _last_lines(self) -> list[str]:
        """What was reported of the last tenth of a second."""
        with self._log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            return file.read().decode().rpartition("frame:")[2].splitlines()

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        # Windows removes no file that is open.
        del self._graph
        self._folder.cleanup()


def measure(audio: np.ndarray, peaks: bool = False) -> Loudness:
    """The loudness of float32 [2, samples] at 48 kHz."""
    with Meter(peaks) as meter:
        meter.add(audio)
        return meter.result()


def audio_input(graph: Graph) -> FilterContext:
    """Where a filter graph takes frames of `audio_frame`."""
    return graph.add_abuffer(
        sample_rate=SAMPLE_RATE, format="flt", layout="stereo", time_base=Fraction(1, SAMPLE_RATE)
    )


def audio_frame(block: np.ndarray, position: int) -> av.AudioFrame:
    """Float32 [2, n] at 48 kHz as a frame that starts at sample `position`."""
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(block.T, np.float32).reshape(1, -1), "flt", "stereo"
    )
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, position, Fraction(1, SAMPLE_RATE)
    return frame


def gain_of(loudness: float, target: float, is_voice: bool) -> float:
    """The gain in dB from one loudness to another, both in LUFS: at most 30 dB, 0 for what is not a voice."""
    return min(target - loudness, MOST_BOOST if is_voice else 0.0)
