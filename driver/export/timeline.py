"""A film as editors see it: clips with their media, voices, music, captions and chapters, at film frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from ..rendering.cut import Cue


@dataclass(frozen=True)
class Clip:
    """A piece of a media file on a track.

    Attributes:
        name: what an editor shows.
        file: the media file, relative to the timeline's folder, with slashes.
        start: first frame on the track.
        frames: how many are shown.
        source_start: the frame of the file that the first one is.
        available: frames that the file has.
        width, height: of the media in pixels; 0 for audio.
        channels: of the file's audio; 0 for none.
    """

    name: str
    file: str
    start: int
    frames: int
    source_start: int
    available: int
    width: int = 0
    height: int = 0
    channels: int = 0

    @property
    def end(self) -> int:
        """The frame after the last one on the track."""
        return self.start + self.frames

    def trimmed(self, first: int, last: int) -> Clip:
        """The clip without its first and its last frames; less than none are handles that become visible."""
        return replace(
            self,
            start=self.start + first,
            frames=self.frames - first - last,
            source_start=self.source_start + first,
        )


@dataclass(frozen=True)
class Transition:
    """A dissolve between two neighbours of a track, or from or to black at an end of it.

    Attributes:
        before: frames of it before the cut.
        after: frames after it.
    """

    name: str
    before: int
    after: int


@dataclass(frozen=True)
class Black:
    """Frames of nothing."""

    start: int
    frames: int


Item = Clip | Transition | Black


@dataclass(frozen=True)
class Join:
    """How a shot is joined to the next one.

    Attributes:
        before, after: how many frames that takes before and after the cut.
    """

    kind: Literal["cut", "crossfade", "dip"] = "cut"
    before: int = 0
    after: int = 0

    @property
    def frames(self) -> int:
        """How long it takes."""
        return self.before + self.after

    @property
    def early(self) -> int:
        """Frames by which the next shot is seen before its first one, held."""
        if self.kind == "dip":
            return max(0, self.before - self.frames // 2)
        return self.before if self.kind == "crossfade" else 0

    @property
    def late(self) -> int:
        """Frames for which this shot is seen after its last one, held."""
        return self.after if self.kind == "crossfade" else 0


@dataclass(frozen=True)
class Timeline:
    """A film's cut with its media.

    Attributes:
        name: the project's id, for file names.
        title: what people see.
        fps: frames in a second.
        frames: of the whole.
        clips: the video, shot after shot without gaps.
        joins: between those, one less.
        fade: frames of the fade from black at the beginning and to black at the end.
        voices, music: the audio.
        chapters: first frame, number of frames and title of each.
        captions: by language, in seconds.
    """

    name: str
    title: str
    fps: Fraction
    width: int
    height: int
    frames: int
    clips: tuple[Clip, ...]
    joins: tuple[Join, ...]
    fade: int
    voices: tuple[Clip, ...]
    music: tuple[Clip, ...]
    chapters: tuple[tuple[int, int, str], ...]
    captions: dict[str, list[Cue]]

    def video(self, black: bool = True) -> list[Item]:
        """The video track.

        A dip to black is two dissolves around some black, and not an effect of its own, which no two editors
        call the same: the frames are those of a fade out and a fade in that meet in its middle. Without
        `black` it is these two, one-sided and next to each other.
        """
        heads, tails = [0] * len(self.clips), [0] * len(self.clips)
        between: list[list[Item]] = []
        for index, join in enumerate(self.joins):
            cut, half = self.clips[index].end, join.frames // 2
            items: list[Item] = []
            if join.kind == "crossfade" and join.frames:
                items = [Transition("Cross dissolve", join.before, join.after)]
            elif join.kind == "dip" and half:
                middle = cut - join.before + half
                lead, trail = (half - half // 2, half // 2) if black else (0, 0)
                tails[index], heads[index + 1] = cut - middle + lead, middle + trail - cut
                out = Transition("Fade to black", half - lead, lead)
                gap = [Black(middle - lead, lead + trail)] if black else []
                items = [out, *gap, Transition("Fade from black", trail, half - trail)]
            between.append(items)
        track: list[Item] = [Transition("Fade from black", 0, self.fade)] if self.fade else []
        for index, clip in enumerate(self.clips):
            track.append(clip.trimmed(heads[index], tails[index]))
            track += between[index] if index < len(between) else []
        return track + ([Transition("Fade to black", self.fade, 0)] if self.fade else [])
