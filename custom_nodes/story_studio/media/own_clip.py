"""A clip of one's own as a scene: trimmed, upright, at a steady rate, with its own or another sound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path

import av
import numpy as np

from ..files import written_aside
from .audio_feed import AudioFeed, full_scale_gain
from .decoder import audio_blocks
from .encoder import SAMPLE_RATE, VISUALLY_LOSSLESS, Encoder, resample_in_parts
from .excerpt import Excerpt, excerpt_frames
from .footage import Footage
from .progress import Progress


@dataclass(frozen=True, eq=False)
class Recording:
    """Audio that is heard instead of a clip's own.

    Attributes:
        waveform: float32 [channels, samples].
        sample_rate: in Hz.
    """

    waveform: np.ndarray
    sample_rate: int

    def frames(self, fps: Fraction) -> int:
        """The frames that cover it: ceil(fps * samples / sample_rate)."""
        return -(-self.waveform.shape[1] * fps // self.sample_rate)


def feed_of(recording: Recording) -> tuple[AudioFeed, int]:
    """A recording, lowered to full scale where it exceeds it, and its channels, 2 at most."""
    parts = partial(resample_in_parts, recording.waveform, recording.sample_rate)
    channels = min(2, len(recording.waveform))
    return AudioFeed(parts(), channels, gain=full_scale_gain(parts())), channels


def own_feed(path: Path, skip: int = 0) -> tuple[AudioFeed, int]:
    """The audio of a clip from sample `skip` on, and its channels; 0 if it has no audio.

    As in a film, it starts with the first video frame, has two channels, and is lowered to full scale.
    """
    blocks = audio_blocks(path)
    first = next(blocks, None)
    if first is None:
        return AudioFeed((), 0), 0
    gain = full_scale_gain(audio_blocks(path))
    return AudioFeed(chain([first], blocks), 2, skip, gain), 2


def write_own_clip(
    path: Path,
    source: Path,
    footage: Footage,
    excerpt: Excerpt,
    frames: int,
    sound: Recording | None = None,
    mute: bool = False,
    metadata: dict[str, str] | None = None,
    progress: Progress = lambda done: None,
) -> None:
    """Writes an excerpt of a clip as MP4, H.264 and AAC, in memory that does not grow with its length.

    Args:
        path: the file; it is not changed if this raises.
        source: the clip.
        footage: what is in it.
        excerpt: which of its frames.
        frames: how many are written: fewer than the excerpt has, or its last one is held.
        sound: what is heard instead of its own sound, from the first frame on; it is cut or followed by
            silence at the last one.
        mute: whether it has no sound at all, without `sound`.
        metadata: tags of the file.
        progress: see `Progress`.

    Raises:
        ValueError: no frame can be decoded.
    """
    if sound is not None:
        feed, channels = feed_of(sound)
    elif mute:
        feed, channels = AudioFeed((), 0), 0
    else:
        feed, channels = own_feed(source, excerpt.first_sample)
    shown = excerpt_frames(source, footage, excerpt, frames)
    write_video(path, shown, frames, footage.size, excerpt.fps, (feed, channels), metadata, progress)


def write_video(
    path: Path,
    frames: Iterator[av.VideoFrame],
    count: int,
    size: tuple[int, int],
    fps: Fraction,
    sound: tuple[AudioFeed, int],
    metadata: dict[str, str] | None,
    progress: Progress,
) -> None:
    """Writes yuv420p BT.709 frames, `count` of them, and as much of a sound as they last."""
    feed, channels = sound
    crf = VISUALLY_LOSSLESS["h264"]
    with (
        written_aside(path) as aside,
        Encoder(aside, *size, fps, channels, crf, metadata or {}) as encoder,
    ):
        sent = 0
        for number, frame in enumerate(frames, start=1):
            encoder.frame(frame)
            end = round(number * SAMPLE_RATE / fps)
            encoder.audio(feed.next(end - sent))
            sent = end
            progress(number / count)
