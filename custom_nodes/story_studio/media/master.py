"""The master of a clip: its frames at the film's rate and size, with its own audio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av

from ..files import written_aside
from ..story.formats import Interpolation
from .audio_feed import AudioFeed
from .clip_frames import Scaler, frame_count, yuv_frames
from .decoder import audio_blocks
from .drift import Drift, corrected, measure
from .encoder import SAMPLE_RATE, VISUALLY_LOSSLESS, Encoder
from .footage import Footage
from .probe import to_seconds
from .progress import Progress
from .retime import Retimer


@dataclass(frozen=True)
class Target:
    """What a master is like.

    Attributes:
        width, height: in pixels, even; 0 for the size of the frames that are written.
        fps: frames a second.
        frames: how many.
        interpolation: what is between two frames where the rates differ, see `retime`.
    """

    width: int
    height: int
    fps: Fraction
    frames: int
    interpolation: Interpolation = "motion"


def target_of(
    footage: Footage, width: int, height: int, fps: Fraction | None, interpolation: Interpolation
) -> Target:
    """What the master of a clip is like.

    Args:
        footage: the clip.
        width, height: what its frames fit into, in pixels; with a 0 they keep their size. The shape of the
            clip stays, so that one side may be shorter.
        fps: frames a second; None for those of the clip.
        interpolation: see `Target`.
    """
    size = footage.fit(width, height) if width and height else footage.size
    fps = fps or footage.fps
    return Target(*size, fps, frame_count(footage, fps), interpolation)


def source_frames(clip: Path, footage: Footage, drift: Drift | None) -> Iterator[av.VideoFrame]:
    """All frames of a clip at its own rate, yuv420p BT.709; or rgb24, if a drift of its colours is undone."""
    frames = yuv_frames(clip, footage)
    return corrected(frames, drift) if drift else frames


def measure_drift(clip: Path, footage: Footage, starts: Sequence[int], progress: Progress) -> Drift:
    """The drift of a clip; see `drift.measure`."""

    def frames() -> Iterator[av.VideoFrame]:
        total = frame_count(footage, footage.fps)
        for done, frame in enumerate(yuv_frames(clip, footage), start=1):
            yield frame
            progress(done / total)

    return measure(frames(), starts)


class MasterWriter:
    """A context manager that writes frames of any size and rate as a master, with the audio of the clip.

    AAC is copied as it is; other audio is encoded. The file appears at `path` when the block succeeds; if it
    raises, `path` is unchanged.

    Args:
        path: the file.
        clip: the clip, whose audio it has.
        target: what it is like.
        metadata: tags of the file.
    """

    def __init__(self, path: Path, clip: Path, target: Target, metadata: dict[str, str] | None = None):
        self._path, self._clip, self._target, self._metadata = path, clip, target, metadata or {}
        self._retimer: Retimer | None = None
        self._to_yuv = Scaler("yuv420p")
        self._written = 0

    @property
    def done(self) -> float:
        """How much of it is written, 0 to 1."""
        return self._written / self._target.frames

    def __enter__(self) -> MasterWriter:
        with ExitStack() as stack:
            self._aside = stack.enter_context(written_aside(self._path))
            self._audio = stack.enter_context(_Audio(self._clip))
            self._opened = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._opened.__exit__(kind, error, trace)
            return
        with self._opened:
            if self._retimer is None:
                raise ValueError(f"No frame was written to {self._path.name}: write at least one.")
            for frame in self._retimer.end():
                self._encode(frame)

    def write(self, frame: av.VideoFrame, rate: Fraction) -> None:
        """Adds a frame, rgb24 or yuv420p BT.709; all are of one size and of this rate, frames a second."""
        if self._retimer is None:
            self._encoder = self._open(frame)
            target = self._target
            self._retimer = Retimer(rate, target.fps, target.interpolation, target.frames)
        if self._retimer.is_filtered:
            frame = self._to_yuv(frame)
        for retimed in self._retimer.push(frame):
            self._encode(retimed)

    def _open(self, frame: av.VideoFrame) -> Encoder:
        target, audio = self._target, self._audio
        even = (frame.width + frame.width % 2, frame.height + frame.height % 2)
        size = (target.width, target.height) if target.width and target.height else even
        self._scale = Scaler("yuv420p", size)
        encoder = Encoder(
            self._aside,
            *size,
            target.fps,
            audio.channels,
            VISUALLY_LOSSLESS["h264"],
            self._metadata,
            copied_audio=audio.stream,
        )
        return self._opened.enter_context(encoder)

    def _encode(self, frame: av.VideoFrame) -> None:
        self._encoder.frame(self._scale(frame))
        self._written += 1
        self._audio.write(
            self._encoder, self._written / self._target.fps, self._written == self._target.frames
        )


def write_master(
    path: Path,
    clip: Path,
    footage: Footage,
    target: Target,
    drift: Drift | None = None,
    metadata: dict[str, str] | None = None,
    progress: Progress = lambda done: None,
) -> None:
    """Writes the master of a clip without models.

    Args:
        path: the file; it is not changed if this raises.
        clip: the clip.
        footage: what is in it.
        target: what the master is like.
        drift: which of its colours is undone, if anybody would notice it.
        metadata: tags of the file.
        progress: see `Progress`.
    """
    with MasterWriter(path, clip, target, metadata) as writer:
        for frame in source_frames(clip, footage, drift):
            writer.write(frame, footage.fps)
            progress(writer.done)


class _Audio:
    """The audio of a clip, for an encoder.

    Attributes:
        stream: whose packets are copied; None if there is no audio, or if it has to be encoded.
        channels: that have to be encoded.
    """

    def __init__(self, clip: Path):
        self._clip = clip

    def __enter__(self) -> _Audio:
        self._file = av.open(str(self._clip))
        audio, video = next(iter(self._file.streams.audio), None), self._file.streams.video[0]
        is_aac = (
            audio is not None and audio.codec_context.name == "aac" and bool(audio.codec_context.extradata)
        )
        self.stream = audio if is_aac else None
        self.channels = 2 if audio and not is_aac else 0
        self._start = to_seconds(video.start_time, video.time_base)
        self._packets: Iterator[av.Packet] = self._file.demux(audio) if is_aac else iter(())
        self._next = next(self._packets, None)
        clipped = (block.clip(-1, 1) for block in audio_blocks(self._clip))
        self._decoded = AudioFeed(clipped if self.channels else (), 2)
        self._sent = 0
        return self

    def __exit__(self, *error: object) -> None:
        self._decoded = AudioFeed((), 2)
        self._file.close()

    def write(self, encoder: Encoder, until: Fraction, is_end: bool) -> None:
        """Adds the audio until a time in seconds to the encoder; at the end, all packets that are left."""
        if self.channels:
            end = round(until * SAMPLE_RATE)
            encoder.audio(self._decoded.next(end - self._sent))
            self._sent = end
        while (packet := self._next) is not None:
            if packet.dts is None:
                return
            if not is_end and to_seconds(packet.dts, packet.time_base) - self._start > until:
                return
            if shift := round(self._start / (packet.time_base or 1)):
                packet.pts, packet.dts = (packet.pts or 0) - shift, packet.dts - shift
            encoder.audio_packet(packet)
            self._next = next(self._packets, None)
