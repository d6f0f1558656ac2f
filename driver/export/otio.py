"""Timelines as OpenTimelineIO has them, and the formats of its adapters."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from urllib.parse import quote

import opentimelineio as otio
from opentimelineio.opentime import RationalTime, TimeRange

from .timeline import Black, Clip, Item, Timeline, Transition

_BLACK_START = 86_400
"""Source frame of black: the EDL adapter adds and subtracts transitions, and refuses times below zero."""
_REEL = 8
"""Letters of a reel's name in CMX 3600."""


def to_otio(timeline: Timeline, black: bool = True) -> otio.schema.Timeline:
    """A timeline: the video, the voices with captions as markers, the music, and chapters as markers.

    Args:
        timeline: the film.
        black: whether a dip has some black between its two dissolves, as OpenTimelineIO needs it.
    """
    rate = float(timeline.fps)
    result = otio.schema.Timeline(timeline.title, global_start_time=RationalTime(0, rate))
    video = otio.schema.Track("Video", kind=otio.schema.TrackKind.Video)
    video.extend([_item(item, rate) for item in timeline.video(black)])
    result.tracks.append(video)
    for name, clips in (("Voices", timeline.voices), ("Music", timeline.music)):
        if clips:
            track = otio.schema.Track(name, kind=otio.schema.TrackKind.Audio)
            track.extend([_item(item, rate) for item in _with_gaps(clips)])
            result.tracks.append(track)
    _mark_captions(result, timeline)
    for start, frames, title in timeline.chapters:
        marker = otio.schema.Marker(title, _range(start, frames, rate), otio.schema.MarkerColor.GREEN)
        result.tracks.markers.append(marker)
    result.metadata["story_studio"] = {"width": timeline.width, "height": timeline.height}
    return result


def to_fcp7(timeline: Timeline) -> str:
    """The timeline as FCP 7 XML (xmeml 4), which Premiere Pro imports. Its rate is an integer."""
    # The format has dissolves of one side, and the adapter loses black that dissolves cover.
    result = to_otio(timeline, black=False)
    rate = {"timebase": str(int(timeline.fps)), "ntsc": "FALSE"}
    sample = {
        "rate": rate,
        "width": str(timeline.width),
        "height": str(timeline.height),
        "pixelaspectratio": "square",
    }
    formats = {"video": {"format": {"samplecharacteristics": sample}}}
    result.tracks.metadata["fcp_xml"] = {"media": formats}
    result.metadata["fcp_xml"] = {"media": formats}
    return otio.adapters.write_to_string(result, "fcp_xml")


def to_edl(timeline: Timeline) -> str:
    """The video as an EDL (CMX 3600), with file names as clip names. Its rate is an integer."""
    result = to_otio(timeline)
    del result.tracks[1:]
    number = 0
    for clip in result.tracks[0]:
        if isinstance(clip, otio.schema.Clip):
            number += 1
            clip.name = Path(clip.media_reference.target_url).name
            letters = "".join(letter for letter in clip.name.upper() if letter.isascii() and letter.isalnum())
            clip.metadata["cmx_3600"] = {"reel": f"{number:03}{letters}"[:_REEL]}
    return otio.adapters.write_to_string(result, "cmx_3600", rate=float(timeline.fps))


def _mark_captions(result: otio.schema.Timeline, timeline: Timeline) -> None:
    """Marks the captions of the first language on the voices, at the times of their files."""
    cues = next(iter(timeline.captions.values()), [])
    voices = [item for track in result.tracks if track.name == "Voices" for item in track]
    voices = [item for item in voices if isinstance(item, otio.schema.Clip)]
    for item, clip in zip(voices, timeline.voices, strict=True):
        for cue in cues:
            first, last = (round(Fraction(time) * timeline.fps) for time in cue[:2])
            if clip.start <= first < clip.end:
                start, frames = first - clip.start + clip.source_start, max(1, min(last, clip.end) - first)
                span, text = _range(start, frames, float(timeline.fps)), cue.text.replace("\n", " ")
                item.markers.append(otio.schema.Marker(text, span, otio.schema.MarkerColor.CYAN))


def _with_gaps(clips: Sequence[Clip]) -> list[Item]:
    items, position = list[Item](), 0
    for clip in clips:
        if clip.start > position:
            items.append(Black(position, clip.start - position))
        items.append(clip)
        position = clip.end
    return items


def _item(item: Item, rate: float) -> otio.core.Composable:
    if isinstance(item, Transition):
        offsets = RationalTime(item.before, rate), RationalTime(item.after, rate)
        return otio.schema.Transition(item.name, otio.schema.TransitionTypes.SMPTE_Dissolve, *offsets)
    if isinstance(item, Black):
        return otio.schema.Gap(source_range=_range(_BLACK_START, item.frames, rate))
    media = otio.schema.ExternalReference(quote(item.file), _range(0, item.available, rate))
    return otio.schema.Clip(item.name, media, _range(item.source_start, item.frames, rate))


def _range(start: int, frames: int, rate: float) -> TimeRange:
    return TimeRange(RationalTime(start, rate), RationalTime(frames, rate))
