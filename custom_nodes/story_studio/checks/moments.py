"""The worst moments of a clip, and their frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av.error import FFmpegError
from PIL import Image

from ..media.probe import to_seconds
from .figures import Figures
from .source import Source, graph_of, open_source
from .verdict import Finding, Level, Reading, readings, thresholds

MOST = 8
"""As many are shown."""
_SAME_SECONDS = 0.2
"""Moments that are closer are one."""
_LEAST_SEVERITY = 0.3
"""What is further from its limit, as `Threshold.severity` has it, is no bad moment."""
_SEEK_SECONDS = 20.0
"""Frames further ahead are sought instead of decoding all before them."""
_START = ("color.drift", "identity.similarity", "frames.sharpness")
"""Figures that compare with the first second."""
_JUMPS = ("seams.largest", "frames.flicker")
"""Figures that compare with the frame before."""


class Moment(NamedTuple):
    """A moment of a clip that is shown.

    Attributes:
        at: in seconds.
        text: what there is to see; empty for a frame between the others.
        level: of the finding; None within the limits.
        beside: the time of another frame to compare it with.
    """

    at: float
    text: str = ""
    level: Level | None = None
    beside: float | None = None

    @property
    def compared_with(self) -> str:
        """What the frame `beside` is."""
        return "" if self.beside is None else "start" if self.at - self.beside > _SAME_SECONDS else "before"


def moments_of(figures: Figures, findings: Sequence[Finding], columns: int) -> list[Moment]:
    """Up to 8 moments in the order of time: the worst, and others until rows of `columns` are full."""
    by_figure = {finding.figure: finding for finding in findings}
    limits = thresholds()
    last = max(0.0, figures.lengths.video - 1.5 / (figures.fps or 1.0))
    bad = [
        reading
        for reading in readings(figures)
        if reading.at is not None and limits[reading.figure].severity(reading.value) >= _LEAST_SEVERITY
    ]
    bad.sort(
        key=lambda reading: (
            reading.figure not in by_figure,
            -limits[reading.figure].severity(reading.value),
        )
    )
    chosen: list[Moment] = []
    for reading in bad:
        moment = _moment(reading, by_figure.get(reading.figure), figures, last)
        if len(chosen) < MOST and not _is_near(moment.at, chosen):
            chosen.append(moment)
    missing = -len(chosen) % columns if chosen else columns
    return sorted([*chosen, *_between(chosen, last, missing)], key=lambda moment: moment.at)


def _moment(reading: Reading, finding: Finding | None, figures: Figures, last: float) -> Moment:
    at = min(max(reading.at or 0.0, 0.0), last)
    limit = thresholds()[reading.figure]
    beside = None
    if reading.figure in _START and at > 1.0:
        beside = min(0.5, at / 2)
    elif reading.figure in _JUMPS and figures.fps:
        beside = max(0.0, at - 1 / figures.fps)
    text = f"{limit.name} {limit.shown(reading.value)}".strip()
    return Moment(at, text, finding.level if finding else None, beside)


def _is_near(at: float, moments: Sequence[Moment]) -> bool:
    return any(abs(at - moment.at) < _SAME_SECONDS for moment in moments)


def _between(chosen: Sequence[Moment], last: float, count: int) -> list[Moment]:
    """Frames in the middle of the widest gaps."""
    times = sorted({0.0, last, *(moment.at for moment in chosen)})
    added: list[Moment] = []
    for _ in range(count):
        gaps = [
            (after - before, (before + after) / 2) for before, after in zip(times, times[1:], strict=False)
        ]
        width, middle = max(gaps, default=(0.0, 0.0))
        if width < 2 * _SAME_SECONDS:
            break
        added.append(Moment(middle))
        times = sorted([*times, middle])
    return added


def frames_of(path: Path, moments: Sequence[Moment]) -> dict[float, Image.Image]:
    """The frames at the times of moments, and of those beside them, upright, by time; of at most 480 lines.

    A time that cannot be read has none.
    """
    beside = {moment.beside for moment in moments if moment.beside is not None}
    frames: dict[float, Image.Image] = {}
    with suppress(FFmpegError, ValueError, OSError):
        for time, image in _decoded(open_source(path), sorted({moment.at for moment in moments} | beside)):
            frames[time] = image
    return frames


def _decoded(source: Source, times: Sequence[float]) -> Iterator[tuple[float, Image.Image]]:
    with av.open(str(source.path)) as container:
        stream = container.streams.video[0]
        # See `media.decoder` for why there is one thread.
        stream.codec_context.thread_count = 1
        graph = graph_of(stream, source.footage)
        half, start = 0.5 / float(source.footage.fps), to_seconds(stream.start_time, stream.time_base)
        now, frames = 0.0, container.decode(stream)
        frame = next(frames, None)
        for time in times:
            if time - now > _SEEK_SECONDS and stream.time_base:
                container.seek(round((Fraction(time) + start) / stream.time_base), stream=stream)
                frames = container.decode(stream)
                frame = next(frames, frame)
            while frame is not None and (now := (frame.time or 0.0) - float(start)) < time - half:
                frame = next(frames, None)
            if frame is None:
                return
            graph.vpush(frame)
            shown = graph.vpull()
            assert isinstance(shown, av.VideoFrame)
            yield time, shown.to_image()
