"""Parts of real talking clips, as frames and sound at a rate and a size that the product renders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt
from pathlib import Path

import av
import numpy as np

from story_studio.media.decoder import decode_audio
from story_studio.media.encoder import SAMPLE_RATE

PIXELS = 832 * 480
"""Larger frames are reduced to this number of pixels, that of a 480p clip."""
MARGIN = 0.5
"""Seconds of sound before and after a window: 8 frames at 16 fps."""
_LOUD = 0.01
"""The least RMS of a window's sound, of full scale: nobody speaks in a silent one."""


@dataclass(frozen=True)
class Source:
    """A talking clip.

    Attributes:
        seconds: for how long there are both image and sound.
        fps: of its frames.
    """

    path: Path
    seconds: float
    fps: float


@dataclass(frozen=True)
class Place:
    """Where a window is cut from, and its rate: enough to cut it in another process."""

    path: Path
    start: float
    seconds: float
    fps: int

    @property
    def name(self) -> str:
        return f"{self.path.stem}@{self.start:.1f}s {self.fps}fps"


@dataclass(frozen=True, eq=False)
class Window:
    """Frames and sound.

    Attributes:
        frames: uint8 [N, height, width, 3], RGB, even sizes.
        sound: float32 [samples], mono, 48 kHz, with `before` samples before the first frame and as many or
            fewer after the last.
        before: samples before the first frame.
        fps: frames a second.
    """

    frames: np.ndarray
    sound: np.ndarray
    before: int
    fps: int

    @property
    def samples(self) -> int:
        """Samples from the first frame to the end of the last."""
        return round(len(self.frames) * SAMPLE_RATE / self.fps)

    def audio(self, late: int = 0) -> np.ndarray:
        """The sound that the frames are shown with, [samples], `late` samples later than it was recorded."""
        start = self.before - late
        padded = np.pad(self.sound, (max(0, -start), max(0, start + self.samples - len(self.sound))))
        start = max(0, start)
        return padded[start : start + self.samples]


def sources(paths: list[Path], seconds: float) -> tuple[list[Source], list[str]]:
    """The clips in folders and files that have image and sound of `seconds` or more, and why others have not.

    Raises:
        FileNotFoundError: a folder or file is missing.
    """
    found, left = [], []
    for file in _files(paths):
        with av.open(str(file)) as container:
            if not container.streams.video or not container.streams.audio:
                left.append(
                    f"{file.name} has no sound" if container.streams.video else f"{file.name}: no video"
                )
                continue
            video = container.streams.video[0]
            length = float(container.duration or 0) / av.time_base
            source = Source(file, length, float(video.average_rate or 0))
        if length < seconds:
            left.append(f"{file.name} is shorter than {seconds:g} s")
            continue
        found.append(source)
    return found, left


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(path.glob("*.mp4"))
        elif path.exists():
            yield path
        else:
            raise FileNotFoundError(f"{path} does not exist: give a folder of talking clips, or clips.")


def places(source: Source, fps: int, seconds: float, most: int) -> list[Place]:
    """Up to `most` windows of a clip, evenly spread, with a margin where the clip is long enough for one.

    They overlap by half at most. A clip of fewer frames a second has none: a repeated frame is a fault.
    """
    if source.fps < fps - 0.5:
        return []
    margin = min(MARGIN, (source.seconds - seconds) / 2)
    room = source.seconds - 2 * margin - seconds
    count = max(1, min(most, 1 + int(room / (seconds / 2))))
    starts = np.linspace(margin, margin + room, count) if count > 1 else [margin + room / 2]
    return [Place(source.path, round(float(start), 2), seconds, fps) for start in starts]


def speaks(window: Window) -> bool:
    """Whether the window is loud enough to hold speech."""
    return float(np.sqrt(np.mean(np.square(window.audio())))) >= _LOUD


def cut(place: Place) -> Window:
    """Decodes a window; of the clip's frames, the nearest in time are taken."""
    sound = decode_audio(place.path).mean(axis=0)
    first = round(place.start * SAMPLE_RATE)
    before = min(first, round(MARGIN * SAMPLE_RATE))
    count = round(place.seconds * place.fps)
    last = first + round((place.seconds + MARGIN) * SAMPLE_RATE)
    return Window(_frames(place, count), sound[first - before : last], before, place.fps)


def _frames(place: Place, count: int) -> np.ndarray:
    times = [place.start + index / place.fps for index in range(count)]
    frames: list[np.ndarray] = []
    with av.open(str(place.path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        start = float((stream.start_time or 0) * (stream.time_base or Fraction(1)))
        width, height = size_of(stream.width, stream.height)
        previous: tuple[float, av.VideoFrame] | None = None
        for frame in container.decode(stream):
            time = float(frame.time or 0) - start
            while len(frames) < count and previous and time >= times[len(frames)]:
                nearer = (
                    previous[1] if times[len(frames)] - previous[0] <= time - times[len(frames)] else frame
                )
                frames.append(_rgb(nearer, width, height))
            if len(frames) == count:
                break
            previous = time, frame
        while len(frames) < count and previous:
            frames.append(_rgb(previous[1], width, height))
    return np.stack(frames)


def _rgb(frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
    return frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray()


def size_of(width: int, height: int) -> tuple[int, int]:
    """The size at which a clip is measured: at most `PIXELS`, in multiples of 16 as the product's."""
    scale = min(1.0, sqrt(PIXELS / (width * height)))
    return max(16, round(width * scale / 16) * 16), max(16, round(height * scale / 16) * 16)
