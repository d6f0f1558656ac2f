"""One clip after another as one file, as when the second was made from the last frame of the first."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np

from ..files import written_aside
from .audio_feed import AudioFeed
from .canvas import Canvas
from .clip_frames import frame_count, yuv_frames
from .decoder import decode_frames
from .delivery import AS_CLIPS
from .encoder import SAMPLE_RATE, VISUALLY_LOSSLESS, Encoder
from .footage import Footage
from .own_clip import own_feed, write_video
from .progress import Progress, part_of
from .splice import can_splice, packets

_ENCODING = 0.9
"""The progress when what has to be encoded is."""


def join_clips(
    path: Path,
    first: tuple[Path, Footage],
    second: tuple[Path, Footage],
    metadata: dict[str, str] | None = None,
    progress: Progress = lambda done: None,
) -> None:
    """Writes a clip and another one after it, without the other one's first frame, as MP4.

    The file has the size and the frame rate of the first clip; a second one of another size is letterboxed.
    Where the first clip is one of ours, its frames are copied bit by bit, so that a long chain of clips is
    encoded once. In memory that does not grow with its length.

    Args:
        path: the file; it is not changed if this raises.
        first, second: the clips, and what is in them.
        metadata: tags of the file.
        progress: see `Progress`.

    Raises:
        ValueError: no frame of one can be decoded.
    """
    (a, clip), (b, following) = first, second
    canvas = Canvas(*clip.size, clip.fps)
    counts = frame_count(clip, clip.fps), frame_count(following, clip.fps) - 1
    with TemporaryDirectory(prefix=".join-", dir=path.parent) as folder:
        parts = [a]
        if counts[1] > 0:
            added = Path(folder, "second.mp4")
            frames = islice(decode_frames(b, following, canvas, AS_CLIPS, counts[1] + 1), 1, None)
            _encode(added, frames, counts[1], canvas, part_of(progress, 0, _ENCODING / 2))
            parts.append(added)
        if not can_splice(parts):
            parts[0] = Path(folder, "first.mp4")
            show = part_of(progress, _ENCODING / 2, _ENCODING)
            _encode(parts[0], yuv_frames(a, clip), counts[0], canvas, show)
        sound = _sound(a, b, counts, clip.fps)
        _splice(path, parts, canvas, sound, metadata or {}, part_of(progress, _ENCODING, 1))


def _encode(
    path: Path, frames: Iterator[av.VideoFrame], count: int, canvas: Canvas, progress: Progress
) -> None:
    silent = AudioFeed((), 0), 0
    write_video(path, frames, count, (canvas.width, canvas.height), canvas.fps, silent, None, progress)


def _sound(a: Path, b: Path, counts: tuple[int, int], fps: Fraction) -> tuple[Iterator[np.ndarray], int]:
    """The sound of all frames, one block for each, and its channels; silence where only one clip has any."""
    skip = round(SAMPLE_RATE / fps)
    feeds = own_feed(a), own_feed(b, skip)
    channels = max(count for _, count in feeds)

    def blocks() -> Iterator[np.ndarray]:
        sent = number = 0
        for (feed, own), count in zip(feeds, counts, strict=True):
            for _ in range(count):
                number += 1
                end = round(number * SAMPLE_RATE / fps)
                block = feed.next(end - sent)
                yield block if own else np.zeros((channels, end - sent), np.float32)
                sent = end

    return blocks(), channels


def _splice(
    path: Path,
    parts: list[Path],
    canvas: Canvas,
    sound: tuple[Iterator[np.ndarray], int],
    metadata: dict[str, str],
    progress: Progress,
) -> None:
    blocks, channels = sound
    size, crf = (canvas.width, canvas.height), VISUALLY_LOSSLESS["h264"]
    with written_aside(path) as aside, av.open(str(parts[0])) as template:
        stream = template.streams.video[0]
        with Encoder(aside, *size, canvas.fps, channels, crf, metadata, stream) as encoder:
            start = Fraction(0)
            for number, part in enumerate(parts, start=1):
                for packet in packets(part, start):
                    encoder.packet(packet)
                    encoder.audio(next(blocks))
                with av.open(str(part)) as container:
                    start += container.streams.video[0].frames / canvas.fps
                progress(number / len(parts))
