"""What is measured of a clip. A figure that could not be measured is None, and `missing` says why."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

MOST_SPANS = 100
"""Spans of each kind that are kept, the longest: figures are sent and stored with every clip."""


class _Figures(BaseModel):
    # No browser reads NaN in JSON.
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class Span(_Figures):
    """A part of a clip, in seconds."""

    start: float
    end: float


class Face(_Figures):
    """The face of the speaker.

    Attributes:
        present: share of the frames in which there is one, 0 to 1.
        height: its median height as a share of the frame's.
        jitter: median change of its place from frame to frame beyond smooth motion, as a share of its height.
        lost: where there is none for a quarter of a second or more.
        in_reference: whether the reference shows one; None without a reference.
    """

    present: float = 0.0
    height: float | None = None
    jitter: float | None = None
    lost: list[Span] = []
    in_reference: bool | None = None


class Sync(_Figures):
    """How the lips follow the voice.

    Attributes:
        offset_frames: by how many frames of the clip the sound is late; negative where it is early.
        offset_seconds: the same in seconds.
        confidence: how far lips and voice correlate at this offset beyond chance, in standard deviations of
            what the voices of others reach: 3 and more where they belong together, 2 by chance.
        start: from which second on the offset is out of its limits; None if it is within them.
    """

    offset_frames: float | None = None
    offset_seconds: float | None = None
    confidence: float | None = None
    start: float | None = None


class Identity(_Figures):
    """How much the face stays that of the reference, or of the first second without one.

    Attributes:
        similarity: the lowest of any second, 1 for the same face.
        at: that second.
    """

    similarity: float | None = None
    at: float | None = None


class Frames(_Figures):
    """Faults of single frames.

    Attributes:
        frozen: where the image stands still.
        black: where it is black.
        flicker: the largest change of brightness that goes back within a few frames, in levels of 255.
        flicker_at: when, in seconds.
        sharpness: the lowest, as a multiple of that of the first second.
        sharpness_at: when, in seconds.
    """

    frozen: list[Span] = []
    black: list[Span] = []
    flicker: float = 0.0
    flicker_at: float | None = None
    sharpness: float = 1.0
    sharpness_at: float | None = None


class Color(_Figures):
    """How far the colours drift from those of the first second.

    Attributes:
        drift: the largest colour difference, CIE 1976.
        at: when, in seconds.
    """

    drift: float = 0.0
    at: float | None = None


class Seams(_Figures):
    """Jumps between two frames, as where chunks meet.

    Attributes:
        largest: the largest change from one frame to the next, as a multiple of the changes around it.
        at: when, in seconds.
    """

    largest: float = 0.0
    at: float | None = None


class Lengths(_Figures):
    """Seconds of the video and of the audio; None without audio."""

    video: float = 0.0
    audio: float | None = None


class Voice(_Figures):
    """The voice, as the clip plays it.

    Attributes:
        loudness: integrated, in LUFS; None if it is silent.
        peak: in dB of full scale.
        clipped: share of the samples where the wave is cut off at its peak, 0 to 1.
        level: of the words, root mean square, in dB of full scale; None without any.
        noise_floor: level between the words, in dB of full scale.
        speech_to_noise: level of the words above that, in dB.
        speech: where somebody speaks.
        start_level, end_level: of the first and the last 5 ms, in dB relative to the words.
        cut_start, cut_end: whether the first or the last word has no silence around it.
    """

    loudness: float | None = None
    peak: float | None = None
    clipped: float = 0.0
    level: float | None = None
    noise_floor: float | None = None
    speech_to_noise: float | None = None
    speech: list[Span] = []
    start_level: float | None = None
    end_level: float | None = None
    cut_start: bool = False
    cut_end: bool = False


class Figures(_Figures):
    """All that is measured of a clip.

    Attributes:
        talking: whether somebody is expected to speak on screen.
        referenced: whether the face is compared with a reference.
        face, sync, identity: None where nobody is expected to speak on screen.
        voice: None without audio.
        spans_left_out: how many spans are not listed because there are more than MOST_SPANS of a kind.
        missing: what could not be measured and why, one sentence each.
    """

    talking: bool = True
    referenced: bool = False
    fps: float = 0.0
    width: int = 0
    height: int = 0
    lengths: Lengths = Lengths()
    frames: Frames = Frames()
    color: Color = Color()
    seams: Seams = Seams()
    face: Face | None = None
    sync: Sync | None = None
    identity: Identity | None = None
    voice: Voice | None = None
    spans_left_out: int = 0
    missing: list[str] = []

    def keep_longest_spans(self) -> None:
        """Leaves out the shorter of more than MOST_SPANS spans of a kind."""
        kinds = [self.frames.frozen, self.frames.black]
        kinds += [self.face.lost] if self.face else []
        kinds += [self.voice.speech] if self.voice else []
        for spans in kinds:
            self.spans_left_out += max(0, len(spans) - MOST_SPANS)
            longest = sorted(spans, key=lambda span: span.start - span.end)[:MOST_SPANS]
            spans[:] = sorted(longest, key=lambda span: span.start)
