"""The audio of a film's shots, one after the other, as they were recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .audio_feed import full_scale_gain
from .audio_track import BLOCK, AudioTrack, write
from .decoder import audio_blocks
from .envelope import JOINT_FADE, Envelope
from .progress import Progress


class Place(NamedTuple):
    """A clip, and the samples of the film that its audio fills: it is cut or padded with silence to them."""

    path: Path
    start: int
    end: int


def write_shots(
    places: Sequence[Place], samples: int, path: Path, progress: Progress, joints_fade: bool = True
) -> AudioTrack:
    """Writes the audio of all clips, in order and `samples` long, with silence between them.

    Audio that exceeds full scale is lowered to it, clip by clip. If `joints_fade`, it fades over a few
    milliseconds wherever it does not start or end with the film.
    """
    return write(path, _all(places, samples, progress, joints_fade))


def _all(
    places: Sequence[Place], samples: int, progress: Progress, joints_fade: bool
) -> Iterator[np.ndarray]:
    now = 0
    for place in places:
        yield from _silence(place.start - now)
        for block in _shot(place, joints_fade and place.start > 0, joints_fade and place.end < samples):
            yield block
            now += block.shape[1]
            progress(now / samples)
        now = place.end
    yield from _silence(samples - now)


def _shot(place: Place, fades_in: bool, fades_out: bool) -> Iterator[np.ndarray]:
    """Exactly as many samples as the place has."""
    length = place.end - place.start
    gain = np.float32(full_scale_gain(audio_blocks(place.path)))
    fade = min(JOINT_FADE, length // 2)
    envelope = Envelope.linear(length, fade if fades_in else 0, fade if fades_out else 0)
    now = 0
    for block in audio_blocks(place.path):
        block = block[:, : length - now]
        if not block.size:
            return
        yield envelope.applied(block * gain, now)
        now += block.shape[1]
    yield from _silence(length - now)


def _silence(samples: int) -> Iterator[np.ndarray]:
    for start, end in pairwise([*range(0, samples, BLOCK), samples]):
        yield np.zeros((2, end - start), np.float32)
