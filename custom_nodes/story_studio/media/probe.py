"""What a media file holds, read from its index without decoding."""

from __future__ import annotations

from collections.abc import Callable
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

Progress = Callable[[float], None]
"""Told how far long work is, 0 to 1. It may raise: that cancels the work and nothing half-written remains."""


@dataclass(frozen=True)
class MediaInfo:
    """The facts about one media file.

    Pictures are `width` x `height` pixels, `frames` of them at `fps` per second; all four are 0 without any.
    `video_seconds` and `audio_seconds` are what is really shown and heard (0.0 without such a stream);
    `sample_rate` is in hertz and None without sound; `chapters` holds `(start_seconds, end_seconds, title)`;
    `subtitles` counts the subtitle tracks.
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
    """Read the facts about the file at `path`.

    Raises FileNotFoundError if there is none and ValueError if it is no readable media.
    """
    try:
        with av.open(str(path)) as container:
            return _read(container)
    except FFmpegError as error:
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f"There is no media file at {path}.") from error
        raise ValueError(f"{path} cannot be read as video or sound ({error.strerror}).") from error


def moment(time: int | None, unit: Fraction | None) -> Fraction:
    """Seconds of a time stamp in its unit; an unknown one is 0."""
    return Fraction(0) if time is None or unit is None else time * unit


def _read(container: InputContainer) -> MediaInfo:
    # A cover picture in a sound file is no video.
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
    """The packets and seconds of a stream, from the file's index or else by walking its packets."""
    if stream.duration and stream.frames:
        return stream.frames, float(moment(stream.duration, stream.time_base))
    container.seek(0)
    rate = stream.average_rate if isinstance(stream, VideoStream) else None
    spans = []
    for packet in container.demux(stream):
        if packet.pts is not None:
            start = moment(packet.pts, packet.time_base)
            length = moment(packet.duration, packet.time_base) or (1 / rate if rate else Fraction(0))
            spans.append((start, start + length))
    if not spans:
        return 0, 0.0
    return len(spans), float(max(end for _, end in spans) - min(start for start, _ in spans))


def _chapter(chapter: Chapter) -> tuple[float, float, str]:
    start, end = (float(moment(chapter[side], chapter["time_base"])) for side in ("start", "end"))
    return start, end, chapter["metadata"].get("title", "")
