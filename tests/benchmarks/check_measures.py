"""Measuring the clips that were made, each only as far as its fault can be seen or heard."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soxr

from story_studio.checks.faces import FaceTracker
from story_studio.checks.figures import Figures
from story_studio.checks.lip_sync import sync_of
from story_studio.checks.measure import measure, steady
from story_studio.checks.source import frames_of, open_source
from story_studio.media.decoder import decode_audio
from story_studio.media.encoder import SAMPLE_RATE

from .check_faults import KINDS, Made, Part, write
from .check_windows import Place, Window, cut

_SYNC_RATE = 16_000
"""Samples a second of the sound that the lips are compared with, as `measure` has it."""
_SMALL = 16


@lru_cache(maxsize=3)
def window_of(place: Place) -> Window:
    """See `cut`; the last ones are kept."""
    return cut(place)


def measured(made: Made, part: Part, place: Place, path: Path, whole: bool) -> Figures:
    """The figures of a clip of a fault in a part of it, see `Kind`.

    Args:
        place: of the window it was made of.
        path: where the clip is written.
        whole: whether the file shows all, also what is not measured.
    """
    if part in ("face", "frames"):
        write(made, path)
        return measure(path, talking=part == "face", reference=made.reference)
    # Nothing that is measured of sound depends on how large the frames are.
    write(made if whole else replace(made, frames=made.frames[:, :_SMALL, :_SMALL]), path)
    if part == "voice":
        return measure(path, talking=False)
    base, mouths = _followed(place)
    samples = soxr.resample(decode_audio(path).mean(axis=0), SAMPLE_RATE, _SYNC_RATE)
    sync = sync_of(mouths, base.fps, samples.astype(np.float32), _SYNC_RATE)
    return base.model_copy(update={"sync": sync})


@lru_cache(maxsize=1)
def _followed(place: Place) -> tuple[Figures, list[np.ndarray | None]]:
    """All figures of a window as it is, and the mouth in each frame, after it was encoded."""
    window, kind = window_of(place), KINDS["as-it-is"]
    made = kind.make(window, window, 0)
    with TemporaryDirectory() as name:
        path = Path(name) / "clip.mp4"
        figures = measured(made, kind.part, place, path, whole=True)
        tracker, times, mouths = FaceTracker(), [], []
        for frame in frames_of(open_source(path)):
            face = tracker.add(frame.rgb)
            times.append(frame.at)
            mouths.append(face.mouth if face else None)
    return figures, steady(times, mouths, figures.fps)
