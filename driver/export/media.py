"""The media of a timeline: what the film was made of, in one folder, at the film's frame rate."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import Any

from story_studio.story.film_settings import LOUDNESS

from ..fetch.local import fetch_for_story
from ..rendering.cut import Shot
from ..rendering.inputs import Gathered, gather_each
from .audio import RATE, loudness_of, write_wav
from .folder import plain
from .footage import Held, write_held, write_still
from .frames import frame_at
from .probe import probe
from .rendered import Rendered
from .timeline import Clip, Join, Timeline

OnStep = Callable[[str, float], None]
"""Called with what is being written and the fraction of everything that is done."""
MEDIA = "media"
_DRIFT_SECONDS = 0.5
"""How much longer or shorter a recording may be than its clip, which ends with a whole frame."""


@dataclass
class Collector:
    """Puts the media of a rendered story into a folder.

    Attributes:
        rendered: the story.
        folder: an existing folder, where `media/` is made.
        downloads: an existing folder for what the story has at an address.
        on_step: shows how far it is.
        warnings: what the user should know, a sentence each.
    """

    rendered: Rendered
    folder: Path
    downloads: Path
    on_step: OnStep
    warnings: list[str] = field(default_factory=list)
    _done: int = 0

    def collect(self) -> Timeline:
        """Writes all media. Raises OSError or ValueError if something cannot be read or written."""
        (self.folder / MEDIA).mkdir()
        cut, story = self.rendered.cut, self.rendered.story
        clips = tuple(self._clip_of(index) for index in range(len(cut.shots)))
        found = self._gather()
        voices, music = self._voices(found), self._music(found)
        fade = round(float((self.rendered.film.settings or {}).get("fade_seconds", 0)) * cut.rate)
        return Timeline(
            name=story.project_id,
            title=" ".join(plain(story.title).split()) or story.project_id,
            fps=cut.rate,
            width=cut.width,
            height=cut.height,
            frames=cut.frames,
            clips=clips,
            joins=tuple(map(_join, cut.shots[:-1])),
            fade=max(0, min(fade, *(shot.frames - 1 for shot in (cut.shots[0], cut.shots[-1])))),
            voices=voices,
            music=music,
            chapters=tuple(chapters_of(cut.shots)),
            captions={
                language: [cue._replace(text=plain(cue.text)) for cue in cues]
                for language, cues in cut.captions.items()
            },
        )

    @property
    def _scenes(self) -> list[tuple[int, Shot]]:
        return [(index, shot) for index, shot in enumerate(self.rendered.cut.shots) if shot.kind == "scene"]

    def _step(self, what: str, fraction: float) -> None:
        total = len(self.rendered.cut.shots) + len(self._scenes) + 1
        self.on_step(what, (self._done + fraction) / total)

    def _finish(self) -> None:
        self._done += 1

    def _clip_of(self, index: int) -> Clip:
        """A shot's file: the clip itself where the film shows it as it is, or a copy with held frames."""
        cut = self.rendered.cut
        shot, is_last = cut.shots[index], index == len(cut.shots) - 1
        head = _join(cut.shots[index - 1]).early if index else 0
        tail = 0 if is_last else _join(shot).late
        is_card = shot.kind == "card"
        name = f"_card_{index + 1}.mp4" if is_card else f"{shot.scene}_video.mp4"
        target = self.folder / MEDIA / name
        source = self.rendered.film_path if is_card else self.rendered.footage(shot.scene)
        video = probe(source)
        as_it_is = not is_card and video.fps == cut.rate and video.frames >= shot.clip_frames == shot.frames
        as_it_is = as_it_is and not head and not tail
        if as_it_is:
            shutil.copyfile(source, target)
            available = video.frames
        else:
            held = Held(head, shot.clip_frames, shot.frames - shot.clip_frames + tail)
            available = held.total
            if is_card:
                # Its middle, which no fade or transition covers.
                still = frame_at(source, shot.start + shot.frames // 2, cut.rate)
                write_still(still, target, cut.rate, available, partial(self._step, name))
            else:
                write_held(source, target, cut.rate, held, partial(self._step, name))
        self._finish()
        title = title_of(shot, cut.shots)
        place = shot.start, shot.frames, head, available
        channels = video.channels if as_it_is else 0
        return Clip(title, f"{MEDIA}/{name}", *place, video.width, video.height, channels)

    def _gather(self) -> Gathered:
        """The recordings and the music of the story, which may have changed or gone since."""
        story, base = self.rendered.story, self.rendered.path.parent
        scenes = [scene.model_copy(update={"image": None}) for scene in story.scenes]
        story = story.model_copy(update={"scenes": scenes})
        return gather_each(story, self.downloads, partial(fetch_for_story, base))

    def _voices(self, found: Gathered) -> tuple[Clip, ...]:
        """The recordings of the scenes, as loud as in the film."""
        cut = self.rendered.cut
        gains = _gains(cut.sound, len(self._scenes))
        clips: list[Clip] = []
        for (_, shot), gain in zip(self._scenes, gains, strict=True):
            name = f"{shot.scene}_voice.wav"
            self._step(name, 0)
            if source := self._voice_of(shot, found):
                samples = ceil(shot.clip_frames * RATE / cut.rate)
                written = write_wav(source, self.folder / MEDIA / name, samples, gain)
                place = shot.start, shot.clip_frames, 0, int(written.samples * cut.rate / RATE)
                title = title_of(shot, cut.shots)
                clips.append(Clip(title, f"{MEDIA}/{name}", *place, channels=written.channels))
            self._finish()
        return tuple(clips)

    def _voice_of(self, shot: Shot, found: Gathered) -> Path | None:
        """The file of what is heard in a shot; None if it is silent."""
        footage, why = self.rendered.footage(shot.scene), ""
        kinds = {scene.id: scene.kind_of for scene in self.rendered.story.scenes}
        if kinds.get(shot.scene) == "silent" or not probe(footage).channels:
            return None
        if shot.scene in found.problems:
            why = found.problems[shot.scene][0].what
        elif shot.scene in found.scenes and (recording := found.scenes[shot.scene].recording):
            if abs(recording.seconds - shot.clip_frames / self.rendered.cut.rate) <= _DRIFT_SECONDS:
                return recording.path
            if kinds.get(shot.scene) != "clip":
                why = f"{recording.path.name} is not as long as its clip any more."
        if why:
            self.warnings.append(f"{shot.scene}: {why} The voice in its clip is used.")
        return footage

    def _music(self, found: Gathered) -> tuple[Clip, ...]:
        """The music where it plays, repeated to the film's length; ducking is left to the editor."""
        cut, film = self.rendered.cut, self.rendered.story.film
        if not (film and film.music and cut.sound):
            return ()
        if found.music is None:
            why = found.film_problems[0].what if found.film_problems else "The music is missing."
            self.warnings.append(f"{why} The timeline has no music.")
            return ()
        name = "_music.wav"
        self._step(name, 0)
        voices = cut.sound.get("target") or cut.sound.get("loudness") or LOUDNESS
        gain = float(voices) + film.music.level - loudness_of(found.music.path)
        written = write_wav(found.music.path, self.folder / MEDIA / name, 0, gain)
        length = max(1, int(written.samples * cut.rate / RATE))
        clips: list[Clip] = []
        for plays, shots in groupby(cut.shots, key=lambda shot: shot.music):
            span = list(shots)
            position, end = span[0].start, span[-1].start + span[-1].frames
            while plays and position < end:
                source_start = position % length
                place = position, min(end - position, length - source_start), source_start, length
                clips.append(Clip("Music", f"{MEDIA}/{name}", *place, channels=written.channels))
                position = clips[-1].end
        self._finish()
        return tuple(clips)


def chapters_of(shots: Sequence[Shot]) -> Iterator[tuple[int, int, str]]:
    """First frame, number of frames and title of each chapter; the first shot always begins one."""
    begun = [shot for index, shot in enumerate(shots) if shot.chapter or index == 0]
    ends = [*(shot.start for shot in begun[1:]), shots[-1].start + shots[-1].frames]
    for shot, end in zip(begun, ends, strict=True):
        yield shot.start, end - shot.start, title_of(shot, shots)


def title_of(shot: Shot, shots: Sequence[Shot]) -> str:
    """What a shot is called: its title, or the number of its scene."""
    title = " ".join(plain(shot.title).split())
    if title or shot.kind == "card":
        return title or "Card"
    number = 1 + sum(other.kind == "scene" for other in shots[: shots.index(shot)])
    return f"Scene {number}"


def _join(shot: Shot) -> Join:
    before = shot.transition_before
    return Join(shot.transition, before, shot.transition_frames - before)


def _gains(sound: dict[str, Any] | None, count: int) -> list[float]:
    """What the film's levelling did to each voice, in dB."""
    target, before = (sound or {}).get("target"), (sound or {}).get("voices") or []
    if target is None or len(before) != count:
        return [0.0] * count
    # A voice that is too short to be measured, or silent, has no number.
    return [float(target) - float(value) if value is not None else 0.0 for value in before]
