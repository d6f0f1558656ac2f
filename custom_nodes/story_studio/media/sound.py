"""The sound of a film: its voices at one loudness, room tone between them, and music beneath."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from ..signal.loudness import gain_of
from .audio_track import AudioTrack, write
from .envelope import JOINT_FADE, Envelope
from .mastering import Mastered, master, measured, protect
from .music import Bed, Music, blocks_of
from .progress import Progress, part_of
from .room_tone import SOFT, RoomTone, fill, tone_of
from .voice import Read, Voice, audible, blocks, examine

__all__ = ["AudioTrack", "Music", "Sound", "SoundReport", "Voice", "mix"]

_INAUDIBLE = 10 ** (-80 / 20)
"""Room tone begins where a voice has become softer than this, and ends where the next one is louder."""
_MOST_LIFT = 6.0
"""dB by which a whole film is raised, at most: its voices have been brought to their level before."""
_DEFAULT_LOUDNESS = -16.0
"""LUFS that music relates to where no voice can be measured."""
_LAYING, _MIXING = 0.4, 0.6
"""The progress when the voices have been laid, and when all has been mixed."""


@dataclass(frozen=True)
class Sound:
    """What is done to the sound of a film. At its defaults, nothing.

    Attributes:
        loudness: of each voice and of the film, in LUFS, -30 to -10; None leaves the voices as they are.
        room_tone: whether soft noise fills the time between voices.
        music: the music bed.
    """

    loudness: float | None = None
    room_tone: bool = False
    music: Music | None = None

    def parts(self) -> list[Any]:
        """What the film's key holds of it, for JSON."""
        return [self.loudness, self.room_tone, self.music.parts() if self.music else None]


@dataclass
class SoundReport:
    """What was measured of the finished track.

    Attributes:
        loudness: integrated loudness in LUFS; None if the film is silent.
        true_peak: in dBTP; None if the film is silent.
        range: loudness range in LU.
        mode: `as recorded`: the loudness was not to be changed. `linear`: by gain alone. `dynamic`: peaks
            were limited.
        target: LUFS; None if the loudness was not to be changed.
        voices: LUFS of each voice before; None for one that is silent.
    """

    loudness: float | None
    true_peak: float | None
    range: float
    mode: Literal["linear", "dynamic", "as recorded"]
    target: float | None
    voices: list[float | None] = field(default_factory=list)

    def json(self) -> dict[str, Any]:
        """The report for JSON, rounded to 0.01."""
        return {
            "loudness": _rounded(self.loudness),
            "true_peak": _rounded(self.true_peak),
            "range": _rounded(self.range),
            "mode": self.mode,
            "target": self.target,
            "voices": [_rounded(voice) for voice in self.voices],
        }


def mix(
    voices: Sequence[Voice], samples: int, sound: Sound, path: Path, progress: Progress = lambda done: None
) -> SoundReport:
    """Writes the sound of a film to `path`, for `AudioTrack`, whatever its length in the same memory.

    A voice starts at its very sample, whatever is done to it. With a loudness, each voice gets a gain that
    brings it there, then the whole gets one, measured again after its peaks were limited. ffmpeg's `loudnorm`
    is not used: where the peaks leave it no room, it falls back to an automatic gain which raises the room
    between words.

    Args:
        voices: in order, without overlap.
        samples: length of the film at 48 kHz.
        sound: what is done.
        path: an existing file is replaced at the end. Beside it, up to twice the space of the film's audio
            (23 MB a minute) is used meanwhile.
        progress: called with the fraction done, 0 to 1. It may raise to cancel; `path` is then unchanged.

    Raises:
        ValueError: voices overlap, start before the film, or end after it; or the loudness is out of range.
    """
    _check(voices, samples, sound)
    with TemporaryDirectory(prefix=f".{path.stem}-", dir=path.parent) as folder:
        work = Path(folder)
        laid = _lay(voices, samples, sound, work / "voices", part_of(progress, 0, _LAYING))
        track = _mixed(voices, laid, sound, work, part_of(progress, _LAYING, _MIXING))
        finished = _finished(track, laid, sound, work / "finished", part_of(progress, _MIXING, 1))
        progress(1.0)
        finished.track.path.replace(path)
    loudness = finished.loudness
    return SoundReport(
        loudness.integrated,
        loudness.true_peak,
        loudness.range,
        finished.mode,
        sound.loudness,
        laid.before,
    )


def _check(voices: Sequence[Voice], samples: int, sound: Sound) -> None:
    if sound.loudness is not None and not -30 <= sound.loudness <= -10:
        raise ValueError(f"The loudness of a film is -30 to -10 LUFS, not {sound.loudness:g}.")
    ends = [0, *(voice.start + voice.samples for voice in voices)]
    for index, (voice, free) in enumerate(zip(voices, ends, strict=False)):
        if voice.start < free or voice.samples < 0 or ends[index + 1] > samples:
            raise ValueError(
                f"Voice {index + 1} is at samples {voice.start} to {ends[index + 1]}, but only {free} to "
                f"{samples} of the film are free."
            )


@dataclass
class _Laid:
    """The voices where they belong.

    Attributes:
        track: the voices, as loud as they are wanted.
        ducking: those that the music is lowered for.
        before: LUFS of each; None for one that is silent.
        gaps: where nobody speaks, with the room tones of the voices before and after.
        has_voice: whether any was loud enough to be taken for a voice.
        has_music: whether music has been added.
    """

    track: AudioTrack
    before: list[float | None]
    gaps: list[tuple[int, int, RoomTone, RoomTone]]
    ducking: AudioTrack
    has_voice: bool = False
    has_music: bool = False


def _lay(voices: Sequence[Voice], samples: int, sound: Sound, path: Path, progress: Progress) -> _Laid:
    track = AudioTrack.silent(path, samples)
    # One track is enough where both would be the same.
    apart = any(voice.is_ambient for voice in voices)
    ducking = AudioTrack.silent(path.with_name("ducking"), samples) if apart else track
    laid = _Laid(track, [], [], ducking)
    end, tone = 0, None
    for index, voice in enumerate(voices):
        progress(index / len(voices))
        examined = examine(voice)
        is_voice = examined.is_voice and not voice.is_ambient
        loudness = examined.loudness
        gain = None
        if loudness is not None and sound.loudness is not None:
            gain = gain_of(loudness, sound.loudness, is_voice)
        # What is as loud as before was not brought to the voices' loudness.
        laid.before.append(None if voice.is_ambient and gain == 0 else loudness)
        laid.has_voice |= is_voice
        read = examined.levelled(voice, gain)
        for track in (laid.track, *([laid.ducking] if apart and not voice.is_ambient else [])):
            _add_faded(track, voice.start, examined.samples, read)
        # A clip is as long as its frames, and the voice in it may start later or end sooner.
        span = audible(read, examined.samples, _INAUDIBLE) if sound.room_tone else None
        if span:
            own = tone_of(read, *span)
            laid.gaps.append((end, voice.start + span[0], tone or own, own))
            end, tone = voice.start + span[1], own
    laid.gaps.append((end, samples, tone or SOFT, tone or SOFT))
    progress(1.0)
    return laid


def _add_faded(track: AudioTrack, start: int, samples: int, read: Read) -> None:
    """Adds a voice without steps where it starts and ends, except at the ends of the film."""
    fade = min(JOINT_FADE, samples // 2)
    attack, release = fade * (start > 0), fade * (start + samples < track.samples)
    envelope = Envelope.linear(samples, attack, release)
    for at, block in blocks(read, samples):
        track.add(start + at, envelope.applied(block.astype(np.float32), at))


def _mixed(voices: Sequence[Voice], laid: _Laid, sound: Sound, work: Path, progress: Progress) -> AudioTrack:
    """The voices with music and room tone."""
    track = laid.track
    if sound.music is not None and track.samples:
        loudness, level = _reference(laid, sound), sound.music.level if laid.has_voice else 0.0
        bed = Bed(sound.music, work / "music", loudness + level)
        if not bed.is_silent:
            off = [(voice.start, voice.start + voice.samples) for voice in voices if not voice.music]
            music = blocks_of(bed, sound.music, laid.ducking, loudness, off)
            track = write(work / "mixed", _sums(track, music, progress))
            laid.track.path.unlink()
            laid.has_music = True
        (work / "music").unlink()
    if sound.room_tone:
        for index, gap in enumerate(laid.gaps):
            fill(track, *gap, index)
            # Nearly done, but it may be cancelled here, too.
            progress(1.0)
    return track


def _reference(laid: _Laid, sound: Sound) -> float:
    """LUFS of the voices, to which music relates."""
    if sound.loudness is not None:
        return sound.loudness
    loudness = measured(laid.track, lambda done: None).integrated if laid.has_voice else None
    return _DEFAULT_LOUDNESS if loudness is None else loudness


def _sums(track: AudioTrack, music: Iterator[np.ndarray], progress: Progress) -> Iterator[np.ndarray]:
    for (start, end), block in zip(track.blocks(), music, strict=True):
        yield track.read(start, end) + block
        progress(end / track.samples)


def _finished(track: AudioTrack, laid: _Laid, sound: Sound, path: Path, progress: Progress) -> Mastered:
    if sound.loudness is not None:
        # Where there is neither a voice nor music, no noise is raised.
        lift = _MOST_LIFT if laid.has_voice or laid.has_music else 0.0
        return master(track, sound.loudness, lift, path, progress)
    if not laid.has_music and not sound.room_tone:
        return Mastered(track, measured(track, progress, peaks=True), "as recorded")
    return protect(track, path, progress)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
