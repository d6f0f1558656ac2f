"""Properties of a media file, read from its index without decoding."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from typing import TYPE_CHECKING

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

if TYPE_CHECKING:
    from av.container.core import Chapter


@dataclass(frozen=True)
class MediaInfo:
    """Properties of a media file.

    Attributes:
        width, height, frames, fps: size in pixels, number and rate of the video frames; 0 without video.
        video_seconds, audio_seconds: durations of the actual content; 0.0 without such a stream.
        sample_rate: in Hz; None without audio.
        channels: of the audio; 0 without audio.
        chapters: `(start_seconds, end_seconds, title)` of each.
        subtitles: number of subtitle tracks.
        metadata: tags of the file.
    """

    width: int
    height: int
    frames: int
    fps: Fraction
    video_seconds: float
    audio_seconds: float
    sample_rate: int | None
    channels: int
    chapters: tuple[tuple[float, float, str], ...]
    subtitles: int
    metadata: dict[str, str]


def probe(path: str | PathLike[str]) -> MediaInfo:
    """Reads the properties of a file.

    Raises FileNotFoundError if it does not exist, ValueError if it cannot be read as media.
    """
    try:
        with av.open(str(path)) as container:
            return _read(container)
    except FFmpegError as error:
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f"There is no media file at {path}.") from error
        raise ValueError(
            f"{path} cannot be read as video or audio ({error.strerror}): export the file again."
        ) from error


def to_seconds(time: int | None, time_base: Fraction | None) -> Fraction:
    """A time stamp in seconds; 0 if it is unknown."""
    return Fraction(0) if time is None or time_base is None else time * time_base


def _read(container: InputContainer) -> MediaInfo:
    # The cover image of an audio file does not count as video.
    videos = (s for s in container.streams.video if not s.disposition & Disposition.attached_pic)
    video, audio = next(videos, None), next(iter(container.streams.audio), None)
    spans = {stream.index: _span(container, stream) for stream in (video, audio) if stream}
    frames, video_seconds = spans[video.index] if video else (0, 0.0)
    return MediaInfo(
        width=video.width if video else 0,
        height=video.height if video else 0,
        frames=frames,
        fps=Fraction(video.average_rate or video.base_rate or 0) if video else Fraction(0),
        video_seconds=video_seconds,
        audio_seconds=spans[audio.index][1] if audio else 0.0,
        sample_rate=audio.sample_rate if audio else None,
        channels=audio.channels if audio else 0,
        chapters=tuple(_chapter(chapter) for chapter in container.chapters()),
        subtitles=len(container.streams.subtitles),
        metadata=dict(container.metadata),
    )


def _span(container: InputContainer, stream: VideoStream | AudioStream) -> tuple[int, float]:
    """Packets and seconds of a stream, from the file's index if it has one, else by demuxing."""
    if stream.duration and stream.frames:
        return stream.frames, float(to_seconds(stream.duration, stream.time_base))
    container.seek(0)
    rate = stream.average_rate if isinstance(stream, VideoStream) else None
    spans = []
    for packet in container.demux(stream):
        if packet.pts is not None:
            start = to_seconds(packet.pts, packet.time_base)
            length = to_seconds(packet.duration, packet.time_base) or (1 / rate if rate else Fraction(0))
            spans.append((start, start + length))
    if not spans:
        return 0, 0.0
    return len(spans), float(max(end for _, end in spans) - min(start for start, _ in spans))


def _chapter(chapter: Chapter) -> tuple[float, float, str]:
    start, end = (float(to_seconds(chapter[side], chapter["time_base"])) for side in ("start", "end"))
    return start, end, chapter["metadata"].get("title", "")
