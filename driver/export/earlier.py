"""The cut of a film of an earlier version, which does not say it, from the lengths of its clips."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path

import av
import av.error

from ..rendering.cut import Cue, Cut, Shot
from ..rendering.manifest import Manifest, VideoResult
from .probe import probe


def plain_cut(folder: Path, manifest: Manifest, film: VideoResult) -> Cut | None:
    """The cut of clips that follow one another; None if their lengths are not the film's.

    Such a film is as long as its clips together, and a crossfade takes at most half of a clip.
    """
    settings = film.settings or {}
    entries = [scene for scene in manifest.scenes if scene.clip]
    try:
        whole = probe(folder / film.file)
        clips = [probe(folder / scene.clip.file) for scene in entries if scene.clip]
    except (OSError, ValueError, av.error.FFmpegError):
        return None
    lengths = [max(1, round(clip.seconds * whole.fps)) for clip in clips]
    half = 0
    if settings.get("join") == "crossfade":
        half = max(0, round(Fraction(str(settings.get("crossfade_seconds", 0.5))) * whole.fps / 2))
    fades = [min(half, before // 2, after // 2) for before, after in pairwise(lengths)]
    titles = dict(zip(settings.get("scenes", []), settings.get("chapter titles", []), strict=False))
    starts = accumulate(lengths, initial=0)
    shots = [
        Shot(
            scene=scene.id,
            title=titles.get(scene.id) or scene.id,
            start=start,
            frames=frames,
            clip_frames=frames,
            transition="crossfade" if fade else "cut",
            transition_frames=2 * fade,
            transition_before=fade,
        )
        for scene, start, frames, fade in zip(entries, starts, lengths, [*fades, 0], strict=False)
    ]
    return Cut(
        width=whole.width,
        height=whole.height,
        fps=str(whole.fps),
        frames=whole.frames,
        shots=shots,
        captions=_captions(folder / film.file),
    )


def _captions(film: Path) -> dict[str, list[Cue]]:
    """The film's own caption track."""
    cues: list[Cue] = []
    with av.open(str(film)) as container:
        if not container.streams.subtitles:
            return {}
        stream = container.streams.subtitles[0]
        for packet in container.demux(stream):
            # A text sample of MP4 is its length in two bytes, and the text (3GPP TS 26.245, 5.17).
            data = bytes(packet)
            text = data[2 : 2 + int.from_bytes(data[:2], "big")].decode("utf-8", "replace")
            if packet.pts is not None and packet.duration and text and packet.time_base:
                start = packet.pts * packet.time_base
                cues.append(Cue(float(start), float(start + packet.duration * packet.time_base), text))
    return {"": cues} if cues else {}
