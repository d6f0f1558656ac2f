"""The figures of a clip, measured on the CPU in one pass over its frames, in nearly flat memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np

from ..media.ahead import ahead
from ..signal.loudness import SAMPLE_RATE, Meter
from .color import ColorDrift
from .faces import FaceSample, FaceTracker, NoFaceModels
from .figures import Figures, Lengths, Voice
from .frames import FrameFaults
from .identity import IdentityMeter
from .lip_sync import REACH, sync_of
from .presence import Place, face_of
from .reduced import Reduced
from .seams import SeamMeter
from .source import Source, audio_of, frames_of, open_source
from .voice import VoiceMeter

_AHEAD = 4
"""Frames that are decoded ahead."""
_SYNC_RATE = 16000
"""Samples a second in which the lips are compared with the voice."""
_OF_FRAMES = 0.95
"""The part of the work that the frames are, the rest is the audio."""
_UNEVEN = 2
"""How many times as long as at a constant rate the frames of a clip may be shown, in all."""
_INT16 = np.float32(2**15 - 1)


def measure(
    path: Path,
    *,
    talking: bool,
    reference: np.ndarray | None = None,
    on_progress: Callable[[float], object] = lambda done: None,
) -> Figures:
    """Measures a clip.

    Args:
        path: a video file.
        talking: whether somebody is to speak on screen: only then are face, lips and identity measured.
        reference: the image that the clip starts from, rgb24 uint8 [H, W, 3]; unused unless `talking`.
        on_progress: called with each frame and second of audio, with the share of the clip that is measured,
            0 to 1; what it raises ends the check.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is no video, or damaged; with what to do.
    """
    source = open_source(path)
    footage = source.footage
    figures = Figures(
        fps=float(footage.fps),
        width=footage.width,
        height=footage.height,
        talking=talking,
        referenced=talking and reference is not None,
    )
    speaker = _speaker(reference, figures) if talking else None
    images = _Images()
    with ahead(frames_of(source), _AHEAD) as frames:
        for frame in frames:
            images.add(frame)
            if speaker:
                speaker.add(frame)
            on_progress(_OF_FRAMES * frame.at / max(footage.info.video_seconds, frame.at, 1e-3))
    end = images.last + 1 / float(footage.fps)
    images.write(figures, end)
    # A file can state any time of a frame.
    likely = (_UNEVEN * images.count + footage.fps) / footage.fps
    sound = _Sound(min(end, float(likely)))
    for count in sound.add_all(source):
        on_progress(_OF_FRAMES + (1 - _OF_FRAMES) * min(1.0, count / max(end, 1e-3)))
    figures.lengths = Lengths(video=round(end, 3), audio=sound.seconds)
    figures.voice = sound.voice
    if speaker:
        is_even = end <= likely
        speaker.write(figures, end, sound.samples if sound.seconds else None, is_even)
    figures.keep_longest_spans()
    on_progress(1.0)
    return figures


class _Images:
    """What is measured of the frames of every clip."""

    def __init__(self) -> None:
        self._frames, self._color, self._seams = FrameFaults(), ColorDrift(), SeamMeter()
        self.last, self.count = 0.0, 0

    def add(self, frame: Reduced) -> None:
        self._frames.add(frame)
        self._color.add(frame)
        self._seams.add(frame)
        self.last = frame.at
        self.count += 1

    def write(self, figures: Figures, end: float) -> None:
        figures.frames = self._frames.result(end)
        figures.color = self._color.result()
        figures.seams = self._seams.result()


def _speaker(reference: np.ndarray | None, figures: Figures) -> _Speaker | None:
    try:
        return _Speaker(reference)
    except NoFaceModels as error:
        figures.missing.append(f"face, lip sync and identity: {error}")
        return None


@dataclass
class _Speaker:
    """What is measured of the one who speaks on screen."""

    reference: np.ndarray | None
    times: list[float] = field(default_factory=list)
    places: list[Place | None] = field(default_factory=list)
    mouths: list[np.ndarray | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        face = FaceTracker().add(self.reference) if self.reference is not None else None
        self._in_reference = None if self.reference is None else face is not None
        self._identity = IdentityMeter(face)
        self._tracker = FaceTracker()

    def add(self, frame: Reduced) -> None:
        face = self._tracker.add(frame.rgb)
        self.times.append(frame.at)
        self.places.append(_place(face, frame) if face else None)
        self.mouths.append(face.mouth if face else None)
        if face:
            self._identity.add(frame.at, face)

    def write(self, figures: Figures, end: float, samples: np.ndarray | None, is_even: bool) -> None:
        """Writes what was found; `samples` are the audio at 16 kHz, None without any; `is_even` says whether
        the frames' times are such that their mouths can be laid out at a constant rate."""
        figures.face = face_of(self.times, self.places, end)
        figures.face.in_reference = self._in_reference
        if samples is None:
            figures.missing.append("lip sync: the clip has no audio.")
        elif not is_even:
            figures.missing.append(
                "lip sync: the times of its frames are damaged: export it again at a constant frame rate."
            )
        else:
            mouths = steady(self.times, self.mouths, figures.fps)
            figures.sync = sync_of(mouths, figures.fps, samples, _SYNC_RATE)
        figures.identity = self._identity.result()


def _place(face: FaceSample, frame: Reduced) -> Place:
    left, top, width, height = face.box
    shape = frame.rgb.shape[1] / frame.rgb.shape[0]
    return (left + width / 2) * shape, top + height / 2, height


def steady(times: list[float], mouths: list[np.ndarray | None], fps: float) -> list[np.ndarray | None]:
    """The mouths at a constant frame rate: for each of its frames the one that is shown then."""
    if not times:
        return []
    count = round(times[-1] * fps) + 1
    # Half a frame later: times are rounded.
    shown = np.searchsorted(times, (np.arange(count) + 0.5) / fps, side="right") - 1
    return [mouths[index] for index in shown]


class _Sound:
    """What is measured of the audio; it is read after the frames, so that it is decoded once."""

    def __init__(self, longest: float) -> None:
        """`longest` is the length of the video in seconds, as far as it can be true."""
        self.seconds: float | None = None
        self.voice: Voice | None = None
        self._longest, self._kept = longest, 0
        self._parts: list[np.ndarray] = []
        self._resampler = av.AudioResampler("flt", "mono", _SYNC_RATE)

    def add_all(self, source: Source) -> Iterator[float]:
        """Measures all of it; yields how many seconds are measured."""
        meter, count = VoiceMeter(), 0
        with Meter() as loudness:
            for block in audio_of(source, self._longest):
                loudness.add(block)
                mono = block.mean(axis=0)
                meter.add(mono, SAMPLE_RATE)
                self._keep(mono)
                count += len(mono)
                yield count / SAMPLE_RATE
            if count:
                self.seconds = round(count / SAMPLE_RATE, 3)
                loud = loudness.result().integrated
                self.voice = meter.result().model_copy(update={"loudness": loud})

    def _keep(self, mono: np.ndarray) -> None:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(mono[None], np.float32), "flt", "mono")
        frame.sample_rate = SAMPLE_RATE
        for part in self._resampler.resample(frame):
            # At half the size, because all of it is kept until the end. Lips are compared with no more.
            if self._kept <= (self._longest + REACH) * _SYNC_RATE:
                self._parts.append((part.to_ndarray()[0].clip(-1, 1) * _INT16).astype(np.int16))
                self._kept += part.samples

    @property
    def samples(self) -> np.ndarray:
        """All of it at 16 kHz, float32 [n]."""
        samples = np.empty(sum(map(len, self._parts)), np.float32)
        start = 0
        for part in self._parts:
            np.divide(part, _INT16, out=samples[start : start + len(part)])
            start += len(part)
        return samples
