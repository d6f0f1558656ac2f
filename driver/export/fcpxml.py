"""Timelines as FCPXML 1.9, which Final Cut Pro 10.4.9 and newer and DaVinci Resolve import.

Written here because OpenTimelineIO's adapter for it leaves out transitions and calls ffprobe. The elements
are Apple's: developer.apple.com/documentation/professional-video-applications/fcpxml-reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from urllib.parse import quote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from .timeline import Black, Clip, Timeline, Transition

_DISSOLVE = "FxPlug:4731E73A-8DAC-4113-9A30-AE85B1761265"
"""Final Cut Pro's own cross dissolve."""
_BLACK_START = Fraction(3600)
"""Where the time of a gap begins, as Final Cut Pro writes it."""
_VOICES, _MUSIC, _CAPTIONS = -1, -2, 1
"""Lanes, below and above the video."""


def to_fcpxml(timeline: Timeline) -> str:
    """The timeline as a document with relative addresses of its media."""
    return _Writer(timeline).document()


class _Writer:
    def __init__(self, timeline: Timeline):
        self._timeline = timeline
        self._fps = timeline.fps
        self._root = Element("fcpxml", version="1.9")
        self._resources = SubElement(self._root, "resources")
        self._formats: dict[tuple[int, int], str] = {}
        self._assets: dict[str, str] = {}
        self._format = self._format_of(timeline.width, timeline.height)
        self._dissolve = ""

    def document(self) -> str:
        timeline = self._timeline
        event = SubElement(SubElement(self._root, "library"), "event", name=timeline.title)
        sequence = SubElement(
            SubElement(event, "project", name=timeline.title),
            "sequence",
            format=self._format,
            duration=self._time(timeline.frames),
            tcStart="0s",
            tcFormat="NDF",
            audioLayout="stereo",
            audioRate="48k",
        )
        placed = self._video(SubElement(sequence, "spine"))
        for clip in timeline.voices:
            self._anchor(placed, clip, _VOICES, "dialogue")
        for clip in timeline.music:
            self._anchor(placed, clip, _MUSIC, "music")
        self._captions(placed)
        # After what is anchored, as the document type wants it.
        for start, _, title in timeline.chapters:
            parent, time = _at(placed, start)
            marker = {"start": self._seconds(time / self._fps), "duration": self._time(1), "value": title}
            SubElement(parent, "chapter-marker", marker)
        ElementTree.indent(self._root)
        body = ElementTree.tostring(self._root, encoding="unicode")
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{body}\n'

    def _video(self, spine: Element) -> list[tuple[int, int, Fraction, Element]]:
        """Writes the video; returns each item's first frame, end, own time in frames and element."""
        placed: list[tuple[int, int, Fraction, Element]] = []
        end = 0
        for item in self._timeline.video():
            if isinstance(item, Transition):
                offset, frames = self._time(end - item.before), self._time(item.before + item.after)
                name = {"name": "Cross Dissolve", "offset": offset, "duration": frames}
                transition = SubElement(spine, "transition", name)
                SubElement(transition, "filter-video", ref=self._dissolve_id(), name="Cross Dissolve")
                continue
            offset, duration = self._time(item.start), self._time(item.frames)
            if isinstance(item, Black):
                own = _BLACK_START * self._fps
                times = {"offset": offset, "start": self._seconds(_BLACK_START), "duration": duration}
                element = SubElement(spine, "gap", {"name": "Gap", **times})
            else:
                own = Fraction(item.source_start)
                element = self._clip(spine, item, offset, srcEnable="video")
            placed.append((item.start, item.start + item.frames, own, element))
            end = item.start + item.frames
        return placed

    def _clip(self, parent: Element, clip: Clip, offset: str, **more: str) -> Element:
        times = {"start": self._time(clip.source_start), "duration": self._time(clip.frames)}
        names = {"ref": self._asset(clip), "name": clip.name, "offset": offset}
        return SubElement(parent, "asset-clip", {**names, **times, "tcFormat": "NDF", **more})

    def _anchor(
        self, placed: Sequence[tuple[int, int, Fraction, Element]], clip: Clip, lane: int, role: str
    ) -> None:
        parent, time = _at(placed, clip.start)
        more = {"lane": str(lane), "audioRole": role, "srcEnable": "audio"}
        self._clip(parent, clip, self._seconds(time / self._fps), **more)

    def _captions(self, placed: Sequence[tuple[int, int, Fraction, Element]]) -> None:
        """Captions of languages that are known: Final Cut Pro takes none without."""
        languages = {language: cues for language, cues in self._timeline.captions.items() if language}
        for lane, (language, cues) in enumerate(languages.items(), start=_CAPTIONS):
            for cue in cues:
                first, last = (round(Fraction(time) * self._fps) for time in cue[:2])
                first = min(first, self._timeline.frames - 1)
                parent, time = _at(placed, first)
                attributes = {
                    "lane": str(lane),
                    "offset": self._seconds(time / self._fps),
                    "name": cue.text.replace("\n", " "),
                    "duration": self._time(max(1, last - first)),
                    "role": f"SRT?captionFormat=SRT.{language}",
                }
                SubElement(SubElement(parent, "caption", attributes), "text").text = cue.text

    def _asset(self, clip: Clip) -> str:
        if clip.file not in self._assets:
            number = f"a{len(self._assets) + 1}"
            attributes = {"id": number, "name": clip.file.rpartition("/")[2], "start": "0s"}
            attributes["duration"] = self._time(clip.available)
            if clip.width:
                attributes |= {"hasVideo": "1", "format": self._format_of(clip.width, clip.height)}
            if clip.channels:
                channels = str(clip.channels)
                attributes |= {"hasAudio": "1", "audioSources": "1", "audioChannels": channels}
                attributes["audioRate"] = "48000"
            asset = SubElement(self._resources, "asset", attributes)
            SubElement(asset, "media-rep", kind="original-media", src=f"./{quote(clip.file)}")
            self._assets[clip.file] = number
        return self._assets[clip.file]

    def _format_of(self, width: int, height: int) -> str:
        if (width, height) not in self._formats:
            number = f"f{len(self._formats) + 1}"
            size = {"width": str(width), "height": str(height), "colorSpace": "1-1-1 (Rec. 709)"}
            frame = self._seconds(1 / self._fps)
            SubElement(self._resources, "format", {"id": number, "frameDuration": frame, **size})
            self._formats[width, height] = number
        return self._formats[width, height]

    def _dissolve_id(self) -> str:
        if not self._dissolve:
            self._dissolve = "e1"
            SubElement(self._resources, "effect", id="e1", name="Cross Dissolve", uid=_DISSOLVE)
        return self._dissolve

    def _time(self, frames: int) -> str:
        return self._seconds(frames / self._fps)

    @staticmethod
    def _seconds(time: Fraction) -> str:
        return f"{time.numerator}s" if time.denominator == 1 else f"{time.numerator}/{time.denominator}s"


def _at(placed: Sequence[tuple[int, int, Fraction, Element]], frame: int) -> tuple[Element, Fraction]:
    """What the video shows at a frame, and the time of that in its own frames."""
    for start, end, own, element in placed:
        if start <= frame < end:
            return element, own + frame - start
    raise ValueError(f"Frame {frame} is not on the timeline.")
